import { describe, expect, it } from 'vitest'
import { compileQueryRule, narrowTarget, TRACKING_PARAMETERS } from '../../src/http/query.js'
import type { QueryRule } from '../../src/http/query.js'
import { fc } from '../support/random.js'

const narrow = (rule: QueryRule, target: string) => narrowTarget(target, compileQueryRule(rule))

const ignore = ['utm_*', 'ref', 'größe', 'a b']
const only = ['page', 'filter_*', 'größe', 'a b']

describe('a query without what it ignores', () => {
  it.each([
    // what is sent, what is left
    ['/p', '/p'],
    ['/p?', '/p?'],
    ['/p?page=1', '/p?page=1'],
    ['/p?ref=x', '/p'],
    ['/p?ref', '/p'],
    ['/p?ref=', '/p'],
    ['/p?utm_source=a&utm_medium=b', '/p'],
    ['/p?utm_=a', '/p'],
    ['/p?utm=a', '/p?utm=a'],
    ['/p?z=1&ref=x&a=2', '/p?z=1&a=2'],
    ['/p?a=1&ref=x&a=2&a=1', '/p?a=1&a=2&a=1'],
    ['/p?a=1&&b=2', '/p?a=1&&b=2'],
    ['/p?ref=x&', '/p'],
    ['/p?&ref=x&a', '/p?&a'],
    // the bytes of what is kept stay as they are
    ['/p%2F/%zz?q=%C3%B6+%F6&ref=x&b=a%26b', '/p%2F/%zz?q=%C3%B6+%F6&b=a%26b'],
    ['/p?a=1?b=2&ref=x?c', '/p?a=1?b=2'],
    ['//host/p?ref=x', '//host/p'],
    ['http://host/p?ref=x&a=1', 'http://host/p?a=1'],
    // whichever way the name is written
    ['/p?%72ef=x', '/p'],
    ['/p?r%65%66=x&utm%5fsource=y', '/p'],
    ['/p?gr%C3%B6%C3%9Fe=x&gr%c3%b6%c3%9fe=y', '/p'],
    ['/p?a+b=1&a%20b=2', '/p'],
    ['/p?utm_%zz=1', '/p'],
    ['/p?ref[]=x&ref[a][b]=y&ref%5B%5D=z&[ref]=w&ref]=v', '/p'],
    ['/p?utm_source[a]=x', '/p'],
    // but not what only resembles it
    ['/p?Ref=x', '/p?Ref=x'],
    ['/p?xref=x&refx=x', '/p?xref=x&refx=x'],
    ['/p?a=ref=x', '/p?a=ref=x'],
    ['/p?a[ref]=x', '/p?a[ref]=x'],
    ['/p?%2572ef=x', '/p?%2572ef=x'],
    ['/p?ref%00=x', '/p?ref%00=x'],
    // the separator is & alone
    ['/p?a=1;ref=x', '/p?a=1;ref=x'],
    ['/p?ref=x;a=1&b=2', '/p?b=2'],
    ['/p?a=1%26ref=x', '/p?a=1%26ref=x'],
  ])('%s is %s', (target, left) => {
    expect(narrow({ ignore }, target)).toBe(left)
  })

  it.each(['/p', '/p?', '/p?a=1&b=2', '/p?;utm_source'])('is the same text for %s', (target) => {
    expect(narrow({ ignore }, target)).toBe(target)
  })
})

describe('a query of only what counts', () => {
  it.each([
    ['/p', '/p'],
    ['/p?', '/p'],
    ['/p?page=1', '/p?page=1'],
    ['/p?x=1', '/p'],
    ['/p?x=1&page=2&y=3&page=4', '/p?page=2&page=4'],
    ['/p?filter_a=1&filter_=2&filter=3', '/p?filter_a=1&filter_=2'],
    ['/p?&page=1&', '/p?page=1'],
    // the forms in which browsers send it
    ['/p?gr%C3%B6%C3%9Fe=1', '/p?gr%C3%B6%C3%9Fe=1'],
    ['/p?a+b=1&a%20b=2', '/p?a+b=1&a%20b=2'],
    ['/p?page[]=1&page[a][b]=2', '/p?page[]=1&page[a][b]=2'],
    ['/p?page%5B%5D=1&filter_a%5bb%5d=2', '/p?page%5B%5D=1&filter_a%5bb%5d=2'],
    // any other way to say it is as good as not said
    ['/p?p%61ge=1', '/p'],
    ['/p?p%61ge=1&page=2', '/p?page=2'],
    ['/p?Page=1&page%20=1&+page=1&[page]=1&page%00=1', '/p'],
    ['/p?page;x=1', '/p'],
    ['/p?x[page]=1', '/p'],
  ])('%s is %s', (target, left) => {
    expect(narrow({ only }, target)).toBe(left)
  })

  it('is none if the list is empty', () => {
    expect(narrow({ only: [] }, '/p?a=1&b')).toBe('/p')
  })

  it('is without what is ignored too', () => {
    const rule = { only: ['a*'], ignore: ['ab'] }
    expect(narrow(rule, '/p?a=1&ab=2&abc=3&b=4')).toBe('/p?a=1&abc=3')
  })
})

it('stays whole without a rule', () => {
  expect(narrow({}, '/p?a=1&utm_source=x')).toBe('/p?a=1&utm_source=x')
  expect(narrow({ ignore: undefined, only: undefined }, '/p?a=1')).toBe('/p?a=1')
})

const parameter = fc
  .array(
    fc.constantFrom(
      'a',
      'ref',
      'utm_x',
      '=',
      '%',
      '%72',
      '[',
      ']',
      '+',
      ';',
      '?',
      'page',
      '%5B',
      '',
    ),
    { maxLength: 4 },
  )
  .map((parts) => parts.join(''))
const anyTarget = fc.array(parameter, { maxLength: 5 }).map((query) => `/p?${query.join('&')}`)

it.each([{ ignore }, { only }])('is narrow after one time, and never more: %j', (rule) => {
  fc.assert(
    fc.property(anyTarget, (target) => {
      const once = narrow(rule, target)
      expect(narrow(rule, once)).toBe(once)
      // Every parameter that is left was sent, in this order.
      const sent = target.slice(3).split('&')
      for (const left of once.slice(3).split('&')) {
        if (once !== '/p') expect(sent).toContain(left)
        sent.splice(0, sent.indexOf(left) + 1)
      }
    }),
  )
})

it.each([{ ignore }, { only }])('shows no parser what it dropped: %j', (rule) => {
  const keeps = compileQueryRule(rule)
  fc.assert(
    fc.property(anyTarget, (target) => {
      const left = new URL(narrow(rule, target), 'http://a.test').searchParams
      for (const name of left.keys()) {
        if (rule.ignore) expect(name === 'ref' || name.startsWith('utm_')).toBe(false)
        else expect(keeps(name)).toBe(true)
      }
    }),
  )
})

describe('the list of tracking parameters', () => {
  it('takes away what campaigns, clicks and mails add, and nothing else', () => {
    const sent =
      '/p?utm_source=a&page=2&gclid=b&gbraid=c&wbraid=d&dclid=e&fbclid=f&msclkid=g&yclid=h' +
      '&q=shoes&twclid=i&ttclid=j&igshid=k&mc_cid=l&mc_eid=m&_ga=n&_gl=o&ref=p&source=q&sort=r'
    expect(narrow({ ignore: TRACKING_PARAMETERS }, sent)).toBe(
      '/p?page=2&q=shoes&ref=p&source=q&sort=r',
    )
  })

  it('cannot be changed, and names nothing twice', () => {
    expect(Object.isFrozen(TRACKING_PARAMETERS)).toBe(true)
    expect(new Set(TRACKING_PARAMETERS).size).toBe(TRACKING_PARAMETERS.length)
  })
})

describe('a rule that is none', () => {
  it.each([
    [null, /query: null is not a rule/],
    ['utm_*', /query: "utm_\*" is not a rule; give one such as/],
    [['utm_*'], /query: an object \(Array\) is not a rule/],
    [{ ignored: [] }, /query: unknown list "ignored"; known lists are ignore, only/],
    [{ ignore: 'utm_*' }, /query\.ignore: "utm_\*" is not a list of names such as/],
    [{ only: null }, /query\.only: null is not a list/],
    [{ ignore: [''] }, /query\.ignore: "" is not the name of a query parameter/],
    [{ only: ['page', 3] }, /query\.only: 3 is not the name/],
    [{ ignore: ['*_id'] }, /query\.ignore: "\*_id" is not .* a \* can only be at the end/],
    [{ only: ['a**'] }, /query\.only: "a\*\*" is not/],
    [{ ignore: ['\ud800'] }, /query\.ignore: .* is not/],
  ])('%j is refused', (rule, message) => {
    const compile = () => compileQueryRule(rule as QueryRule)
    expect(compile).toThrow(TypeError)
    expect(compile).toThrow(message)
  })
})
