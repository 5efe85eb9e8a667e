import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { main } from '../src/cli.js'

async function run(...args: string[]) {
  const out: string[] = []
  const errors: string[] = []
  const code = await main(args, {
    out: (text) => out.push(text),
    error: (text) => errors.push(text),
  })
  return { code, out: out.join('\n'), error: errors.join('\n') }
}

interface GoldenKey {
  readonly id: string
  readonly name: string
  readonly vary_on_as_text?: readonly string[]
  readonly key?: string
  readonly key_before_6_1?: string
}

const golden = JSON.parse(readFileSync('fixtures/django/fragment_keys.json', 'utf8')) as {
  cases: GoldenKey[]
}
const cases = golden.cases.filter(
  ({ key, vary_on_as_text: varyOn }) => key !== undefined && varyOn !== undefined,
)
const older = cases.filter(({ key_before_6_1: key }) => key !== undefined)

describe('fragcache key', () => {
  it('prints the key of a fragment without vary-on values', async () => {
    // Django 6.1: make_template_fragment_key("sidebar"), the MD5 of nothing.
    expect(await run('key', 'sidebar')).toEqual({
      code: 0,
      out: 'template.cache.sidebar.d41d8cd98f00b204e9800998ecf8427e',
      error: '',
    })
  })

  it.each(cases)('prints the key Django 6.1 makes: $id', async ({ name, vary_on_as_text, key }) => {
    expect(await run('key', '--', name, ...vary_on_as_text!)).toEqual({
      code: 0,
      out: key,
      error: '',
    })
  })

  it.each(older)(
    'prints the key of Django before 6.1 when asked to: $id',
    async ({ name, vary_on_as_text, key_before_6_1 }) => {
      const { code, out } = await run(
        'key',
        '--compat',
        'django<6.1',
        '--',
        name,
        ...vary_on_as_text!,
      )
      expect({ code, out }).toEqual({ code: 0, out: key_before_6_1 })
    },
  )

  it('takes what comes after "--" as text, also what looks like an option', async () => {
    const { code, out } = await run('key', '--', 'sidebar', '--help')
    expect(code).toBe(0)
    expect(out).toMatch(/^template\.cache\.sidebar\.[0-9a-f]{32}$/)
  })

  it('explains itself', async () => {
    const { code, out } = await run('key', '--help')
    expect(code).toBe(0)
    expect(out).toContain("fragcache key NAME [VARY...] [--compat 'django<6.1']")
    expect(out).toContain('write None, True and False')
  })

  it('answers 2 and names the fault when it is called wrongly', async () => {
    expect(await run('key')).toEqual({
      code: 2,
      out: '',
      error: `fragcache: key: NAME is missing
Usage: fragcache key NAME [VARY...] [--compat 'django<6.1'] [--json]
See fragcache key --help.`,
    })
    const compat = await run('key', 'sidebar', '--compat', 'django<5')
    expect(compat.code).toBe(2)
    expect(compat.error).toContain(`--compat takes 'django<6.1', not "django<5"`)
    const option = await run('key', 'sidebar', '--colour')
    expect(option.code).toBe(2)
    expect(option.error).toContain("'--colour'")
  })

  it('answers 2 when there is no key for what it is given', async () => {
    const { code, out, error } = await run('key', 'sidebar', '\ud800')
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(error).toMatch(/^fragcache: key: .*surrogate/)
  })
})

describe('fragcache', () => {
  it('prints its version', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(await run('--version')).toEqual({ code: 0, out: version, error: '' })
    expect(await run('-v')).toEqual({ code: 0, out: version, error: '' })
  })

  it('lists its commands and exit codes', async () => {
    const { code, out } = await run('--help')
    expect(code).toBe(0)
    expect(out).toContain('fragcache key NAME')
    expect(out).toMatch(/^ {2}key .*<NAME>/m)
    expect(out).toContain('Exit codes: 0 done, 1 failed, 2 wrong usage.')
    expect(await run('-h')).toEqual({ code: 0, out, error: '' })
  })

  it('answers 2 without a command and for one it does not know', async () => {
    expect(await run()).toEqual({
      code: 2,
      out: '',
      error: 'fragcache: a command is missing\nSee fragcache --help.',
    })
    const unknown = await run('keys', 'sidebar')
    expect(unknown.code).toBe(2)
    expect(unknown.error).toContain('"keys" is not a command')
  })
})
