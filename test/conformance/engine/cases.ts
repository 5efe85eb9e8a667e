import { noteRead } from '../../../src/fragment/guard.js'
import { FragmentCache, type Caches } from '../../../src/index.js'
import type { CaseRender, EngineCase, EngineSyntax } from './types.js'

/** Rendered twice: the bodies run once. */
const onceThenHit = (output: string, bodyRuns = 1): CaseRender[] => [
  { output, bodyRuns },
  { output, bodyRuns: 0 },
]

const user = (name: string) => ({ user: { name } })

/** A visitor whose name tells him from others. */
const visitor = (name: string) => ({
  user: {
    get name() {
      noteRead('user')
      return name
    },
  },
})

/** A variable whose reading throws. */
const broken = () => ({
  user: {
    get name(): string {
      throw new Error('boom')
    },
  },
})

const fragments = (caches: Caches) => new FragmentCache(caches)

const keys: EngineCase[] = [
  {
    name: 'a fragment is rendered once and then found',
    templates: ({ cache, show, value }) => ({
      main: `a${cache(`500 "sidebar" ${value('user.name')}`, `[${show('user.name')}]`)}b`,
    }),
    context: () => user('bob'),
    renders: onceThenHit('a[bob]b'),
  },
  {
    name: 'a fragment of each vary-on value',
    templates: ({ cache, show, value }) => ({
      main: cache(`500 "sidebar" ${value('user.name')}`, show('user.name')),
    }),
    renders: [
      { context: () => user('ann'), output: 'ann', bodyRuns: 1 },
      { context: () => user('bob'), output: 'bob', bodyRuns: 1 },
      { context: () => user('ann'), output: 'ann', bodyRuns: 0 },
    ],
  },
  {
    name: 'two vary-on values are not one that reads as both',
    templates: ({ cache, show, value }) => ({
      main: cache(`500 "f" ${value('a')} ${value('b')}`, `${show('a')}|${show('b')}`),
    }),
    renders: [
      { context: () => ({ a: 'x:y', b: 'z' }), output: 'x:y|z', bodyRuns: 1 },
      { context: () => ({ a: 'x', b: 'y:z' }), output: 'x|y:z', bodyRuns: 1 },
    ],
  },
  {
    name: 'a number and its text are one vary-on value',
    templates: ({ cache, value }) => ({ main: cache(`500 "f" ${value('a')}`, 'x') }),
    renders: [
      { context: () => ({ a: 1 }), output: 'x', bodyRuns: 1 },
      { context: () => ({ a: '1' }), output: 'x', bodyRuns: 0 },
    ],
  },
  {
    name: 'fragments of two names',
    templates: ({ cache }) => ({ main: cache('500 "a"', 'one') + cache('500 "b"', 'two') }),
    renders: onceThenHit('onetwo', 2),
  },
  {
    name: 'a name of any characters',
    templates: ({ cache }) => ({ main: cache('500 "my side: bär/%#"', 'x') }),
    renders: onceThenHit('x'),
  },
  {
    name: 'a name without quotes is the same name',
    needs: ['quotedNames'],
    templates: ({ cache }) => ({ main: cache('500 sidebar', 'x') + cache('500 "sidebar"', 'x') }),
    renders: onceThenHit('xx', 1),
  },
  {
    name: 'arguments that are separated by commas',
    needs: ['noCommas'],
    templates: ({ cache, show, value }) => ({
      main: cache(`500, "my frag", ${value('user.name')}, using="local"`, show('user.name')),
    }),
    context: () => user('bob'),
    renders: onceThenHit('bob'),
  },
  {
    name: 'two tags of one key in one template',
    templates: ({ cache, show }) => {
      const tag = cache('500 "f"', show('user.name'))
      return { main: `${tag}-${tag}` }
    },
    context: () => user('bob'),
    renders: onceThenHit('bob-bob'),
  },
  {
    name: 'templates that share a fragment',
    templates: ({ cache, include }) => ({
      main: `${include('one')}${include('two')}`,
      one: cache('500 "f"', 'x'),
      two: cache('500 "f"', 'x'),
    }),
    renders: onceThenHit('xx', 1),
  },
  {
    name: 'what the context says meanwhile does not change what is stored',
    keptOnly: true,
    templates: ({ cache, show }) => ({ main: cache('500 "f"', show('user.name')) }),
    renders: [
      { context: () => user('ann'), output: 'ann' },
      { context: () => user('bob'), output: 'ann', bodyRuns: 0 },
    ],
  },
]

const timeouts: EngineCase[] = [
  {
    name: 'a timeout of 0 is not stored',
    templates: ({ cache }) => ({ main: cache('0 "f"', 'x') }),
    renders: [
      { output: 'x', bodyRuns: 1 },
      { output: 'x', bodyRuns: 1 },
    ],
  },
  {
    name: 'the timeout "none" never ends',
    templates: ({ cache }) => ({ main: cache('"none" "f"', 'x') }),
    renders: onceThenHit('x'),
  },
  {
    name: 'a timeout from a variable',
    templates: ({ cache, value }) => ({ main: cache(`${value('seconds')} "f"`, 'x') }),
    renders: [
      { context: () => ({ seconds: 500 }), output: 'x', bodyRuns: 1 },
      { context: () => ({ seconds: '500' }), output: 'x', bodyRuns: 0 },
      { context: () => ({ seconds: null }), output: 'x', bodyRuns: 0 },
    ],
  },
]

const keywords: EngineCase[] = [
  {
    name: 'using: another cache',
    templates: ({ cache }) => ({ main: cache('500 "f" using="local"', 'x') }),
    renders: [
      { output: 'x', bodyRuns: 1 },
      { before: (caches) => caches.get('default').clear(), output: 'x', bodyRuns: 0 },
      { before: (caches) => caches.get('local').clear(), output: 'x', bodyRuns: 1 },
    ],
  },
  {
    name: 'tags: invalidated',
    templates: ({ cache, value }) => ({
      main: cache('500 "f" tags="t"', 'x') + cache(`500 "g" tags=${value('list')}`, 'y'),
    }),
    context: () => ({ list: ['u', 'v'] }),
    renders: [
      ...onceThenHit('xy', 2),
      {
        before: (caches) => caches.get('default').invalidateTags(['t']),
        output: 'xy',
        bodyRuns: 1,
      },
      {
        before: (caches) => caches.get('default').invalidateTags(['v']),
        output: 'xy',
        bodyRuns: 1,
      },
    ],
  },
  {
    name: 'version: entries of their own',
    templates: ({ cache, value }) => ({ main: cache(`500 "f" version=${value('v')}`, 'x') }),
    renders: [
      { context: () => ({ v: 1 }), output: 'x', bodyRuns: 1 },
      { context: () => ({ v: 2 }), output: 'x', bodyRuns: 1 },
      { context: () => ({ v: 1 }), output: 'x', bodyRuns: 0 },
    ],
  },
  {
    name: 'if: false renders without the cache',
    templates: ({ cache, show, value }) => ({
      main: cache(`500 "f" if=${value('on')}`, show('text')),
    }),
    renders: [
      { context: () => ({ on: false, text: 'a' }), output: 'a', bodyRuns: 1 },
      { context: () => ({ on: true, text: 'b' }), output: 'b', bodyRuns: 1 },
      { context: () => ({ on: true, text: 'b' }), output: 'b', bodyRuns: 0 },
      { context: () => ({ on: false, text: 'c' }), output: 'c', bodyRuns: 1 },
    ],
  },
  {
    name: 'lock: one at a time',
    templates: ({ cache }) => ({ main: cache('500 "f" lock=true', 'x') }),
    renders: onceThenHit('x'),
  },
  {
    name: 'staleIfError: the text from before, where the body throws',
    keptOnly: true,
    templates: ({ cache, show }) => ({
      main: cache('500 "f" staleIfError=100', show('user.name')),
    }),
    renders: [
      { context: () => user('old'), output: 'old', bodyRuns: 1 },
      { before: (caches) => fragments(caches).expire('f'), context: broken, output: 'old' },
      { context: () => user('new'), output: 'new', bodyRuns: 1 },
    ],
  },
]

const nesting: EngineCase[] = [
  {
    name: 'a fragment in a fragment',
    templates: ({ cache }) => ({ main: cache('500 "o"', `(${cache('500 "i"', 'x')})`) }),
    renders: onceThenHit('(x)', 2),
  },
  {
    name: 'a fragment in itself',
    templates: ({ cache }) => ({ main: cache('500 "a"', `x${cache('500 "a"', 'y')}`) }),
    renders: [{ output: 'xy' }],
  },
  {
    name: 'what is inside outlives what is around',
    templates: ({ cache }) => ({ main: cache('500 "o"', `(${cache('500 "i"', 'x')})`) }),
    renders: [
      { output: '(x)', bodyRuns: 2 },
      { before: (caches) => fragments(caches).delete('o'), output: '(x)', bodyRuns: 1 },
    ],
  },
  {
    name: 'what is inside and invalidated takes along what is around',
    templates: ({ cache, show }) => ({
      main: cache('500 "o"', `(${cache('500 "i" tags="t"', show('user.name'))})`),
    }),
    renders: [
      { context: () => user('ann'), output: '(ann)', bodyRuns: 2 },
      {
        before: (caches) => caches.get('default').invalidateTags(['t']),
        context: () => user('bob'),
        output: '(bob)',
        bodyRuns: 2,
      },
    ],
  },
  ...['local', 'default'].map((around): EngineCase => ({
    name: `a fragment in one of another cache, around it ${around}`,
    templates: ({ cache }) => {
      const inner = cache(`500 "i" using="${around === 'local' ? 'default' : 'local'}"`, 'x')
      return { main: cache(`500 "o" using="${around}"`, `(${inner})`) }
    },
    renders: onceThenHit('(x)', 2),
  })),
  {
    name: 'a fragment for each turn of a loop',
    templates: ({ cache, each, show, value }) => ({
      main: each('items', 'item', cache(`500 "f" ${value('item.id')}`, `[${show('item.text')}]`)),
    }),
    context: () => ({ items: ['a', 'b', 'c'].map((text, id) => ({ id, text })) }),
    renders: onceThenHit('[a][b][c]', 3),
  },
  {
    name: 'a loop in a fragment, with fragments in it',
    templates: ({ cache, each, show, value }) => ({
      main: cache(
        '500 "list"',
        each('items', 'item', cache(`500 "f" ${value('item.id')}`, show('item.text'))),
      ),
    }),
    context: () => ({ items: ['a', 'b'].map((text, id) => ({ id, text })) }),
    renders: onceThenHit('ab', 3),
  },
  {
    name: 'an include in a fragment, and a fragment in an include',
    templates: ({ cache, include, show }) => ({
      main: cache('500 "o"', `<b>${include('part')}</b>`),
      part: cache('500 "i"', show('user.name')),
    }),
    context: () => user('bob'),
    renders: onceThenHit('<b>bob</b>', 2),
  },
]

const texts: EngineCase[] = [
  ['an empty body', ''],
  ['what replacing would take for a pattern', '$& $1 $$ $0'],
  ['what looks like a placeholder', ` 123 <fRaG "' > 1-123 `],
  ['lines', 'a\nb\n\nc'],
  ['characters of every kind', 'äöü € 漢字 🎉'],
].map(([name, text]) => ({
  name: `a body stays as it is: ${name}`,
  templates: ({ cache }) => ({ main: `<${cache('500 "f"', text as string)}>` }),
  renders: onceThenHit(`<${text}>`),
}))

const mistakes: EngineCase[] = [
  {
    name: 'a body that throws fails the page and stores nothing',
    templates: ({ cache, show }) => ({ main: cache('500 "f"', show('user.name')) }),
    renders: [
      { context: broken, error: /boom/ },
      { context: () => user('bob'), output: 'bob', bodyRuns: 1 },
      { context: () => user('bob'), output: 'bob', bodyRuns: 0 },
    ],
  },
  ...(
    [
      ['a timeout that is none', '"soon" "f"', /"f".*timeout.*soon/i],
      ['a cache that is not there', '500 "f" using="nowhere"', /"f".*nowhere/],
      ['a lock that is neither true nor false', '500 "f" lock="maybe"', /"f".*lock.*true or false/],
      ['a tag that is empty', '500 "f" tags=""', /"f".*tags/],
    ] as const
  ).map(([name, args, error]): EngineCase => ({
    name: `is refused: ${name}`,
    templates: ({ cache }) => ({ main: cache(args, 'x') }),
    renders: [{ error }],
  })),
  ...['using', 'tags', 'version', 'lock', 'staleIfError'].map((keyword): EngineCase => ({
    name: `is refused: ${keyword} from a variable that is not there`,
    templates: ({ cache, value }) => ({
      main: cache(`500 "f" ${keyword}=${value('nothing')}`, 'x'),
    }),
    renders: [{ error: new RegExp(`"f".*${keyword}.*undefined`) }],
  })),
  {
    name: 'is refused: a timeout from a variable that is not there',
    templates: ({ cache, value }) => ({ main: cache(`${value('nothing')} "f"`, 'x') }),
    renders: [{ error: /"f".*timeout.*undefined/ }],
  },
  ...(
    [
      ['a name that is missing', '500', /fragment name/],
      ['a keyword that is unknown', '500 "f" colour="red"', /colour.*using/],
    ] as const
  ).map(([name, args, error]): EngineCase => ({
    name: `is refused: ${name}`,
    templates: ({ cache }) => ({ main: cache(args, 'x') }),
    renders: [{ error }],
  })),
  ...(
    [
      ['an operator between arguments', (a: string) => `500 "f" ${a} == ${a}`, /operator.*paren/],
      ['a value after a keyword', (a: string) => `500 "f" lock=true ${a}`, /after a keyword/],
      ['a keyword twice', () => '500 "f" lock=true lock=true', /lock.*twice/],
      ['a keyword without a value', () => '500 "f" lock=', /lock.*no value/],
    ] as const
  ).map(([name, args, error]): EngineCase => ({
    name: `is refused: ${name}`,
    needs: ['ownSyntaxErrors'],
    templates: ({ cache, value }) => ({ main: cache(args(value('a')), 'x') }),
    context: () => ({ a: 1 }),
    renders: [{ error }],
  })),
  {
    name: 'is refused: a tag that does not end',
    templates: ({ cache }) => ({ main: cache('500 "f"', '\0').split('\0', 1)[0] as string }),
    renders: [{ error: /./ }],
  },
]

const visitors: EngineCase[] = [
  {
    name: 'what differs per user and is not varied on is an error',
    options: { strict: true },
    templates: ({ cache, show }) => ({ main: cache('500 "f"', show('user.name')) }),
    context: () => visitor('ann'),
    renders: [{ error: /"f".*user.*vary-on/ }],
  },
  {
    name: 'what differs per user and is not varied on is not stored without strict',
    options: { strict: false },
    templates: ({ cache, show }) => ({ main: cache('500 "f"', show('user.name')) }),
    renders: [
      { context: () => visitor('ann'), output: 'ann', bodyRuns: 1 },
      { context: () => visitor('bob'), output: 'bob', bodyRuns: 1 },
    ],
  },
  {
    name: 'what differs per user and is varied on is stored',
    options: { strict: true },
    templates: ({ cache, show, value }) => ({
      main: cache(`500 "f" ${value('user.name')}`, show('user.name')),
    }),
    renders: [
      { context: () => visitor('ann'), output: 'ann', bodyRuns: 1 },
      { context: () => visitor('bob'), output: 'bob', bodyRuns: 1 },
      { context: () => visitor('ann'), output: 'ann', bodyRuns: 0 },
    ],
  },
  {
    name: 'a tag inside that varies does not speak for the one around',
    options: { strict: true },
    templates: ({ cache, show, value }) => ({
      main: cache('500 "o"', cache(`500 "i" ${value('user.name')}`, show('user.name'))),
    }),
    context: () => visitor('ann'),
    renders: [{ error: /"o".*user.*vary-on/ }],
  },
]

/** A nocache block of the case's engine, which has them. */
const nocache = ({ nocache: spell }: EngineSyntax, names: string, body: string): string =>
  spell?.(names, body) ?? ''

const holes: EngineCase[] = [
  {
    name: 'a nocache block is rendered again on every hit',
    templates: (s) => ({
      main: s.cache('500 "f"', `[${s.show('text')}:${nocache(s, '', s.show('user.name'))}]`),
    }),
    renders: [
      { context: () => ({ text: 'a', ...user('ann') }), output: '[a:ann]', bodyRuns: 1 },
      { context: () => ({ text: 'a', ...user('bob') }), output: '[a:bob]', bodyRuns: 0 },
    ],
  },
  {
    name: 'the values that a nocache block names are kept with the fragment',
    templates: (s) => ({
      main: s.cache(
        '500 "f"',
        s.each(
          'items',
          'item',
          nocache(s, `id=${s.value('item.id')}`, `${s.show('id')}${s.show('user.name')};`),
        ),
      ),
    }),
    renders: ['ann', 'bob'].map((name, i) => ({
      context: () => ({ items: [{ id: 1 }, { id: 2 }], ...user(name) }),
      output: `1${name};2${name};`,
      bodyRuns: 1 - i,
    })),
  },
  {
    name: 'a nocache block in a fragment in a fragment',
    templates: (s) => ({
      main: s.cache('500 "o"', `(${s.cache('500 "i"', nocache(s, '', s.show('user.name')))})`),
    }),
    renders: [
      { context: () => user('ann'), output: '(ann)', bodyRuns: 2 },
      { context: () => user('bob'), output: '(bob)', bodyRuns: 0 },
      {
        before: (caches) => fragments(caches).delete('o'),
        context: () => user('eve'),
        output: '(eve)',
        bodyRuns: 1,
      },
    ],
  },
  {
    name: 'a nocache block in an include',
    templates: (s) => ({
      main: s.cache('500 "f"', `<${s.include('part')}>`),
      part: nocache(s, '', s.show('user.name')),
    }),
    renders: [
      { context: () => user('ann'), output: '<ann>', bodyRuns: 1 },
      { context: () => user('bob'), output: '<bob>', bodyRuns: 0 },
    ],
  },
  {
    name: 'a nocache block by itself is rendered in place',
    templates: (s) => ({ main: nocache(s, `id=${s.value('a')}`, s.show('id')) }),
    context: () => ({ a: 5 }),
    renders: [{ output: '5', bodyRuns: 0 }],
  },
  {
    name: 'what a nocache block reads per user is not of the fragment',
    options: { strict: true },
    templates: (s) => ({ main: s.cache('500 "f"', nocache(s, '', s.show('user.name'))) }),
    renders: [
      { context: () => visitor('ann'), output: 'ann', bodyRuns: 1 },
      { context: () => visitor('bob'), output: 'bob', bodyRuns: 0 },
    ],
  },
]

/** What every engine's tag does, by what it is about. */
export const cases: Readonly<Record<string, readonly EngineCase[]>> = {
  keys,
  timeouts,
  keywords,
  nesting,
  texts,
  mistakes,
  'per-user inputs': visitors,
  'nocache blocks': holes.map((one) => ({ ...one, needs: ['noHoles'] })),
}
