import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache } from 'fragcache/nunjucks'
import { Eta } from 'eta'
import nunjucks from 'nunjucks'
import { expect, it, onTestFinished, vi } from 'vitest'

function warningsOf(render: () => unknown): string[] {
  const warnings: string[] = []
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((text: string, kind: object) => {
    if ((kind as { code?: string }).code === 'FRAGCACHE_FRAGMENT_NAME') warnings.push(text)
  }) as never)
  onTestFinished(() => spy.mockRestore())
  try {
    render()
  } catch {
    // What is wrong besides is told there.
  }
  return warnings
}

const engines: readonly (readonly [string, (args: string) => unknown])[] = [
  [
    'Nunjucks',
    (args) => {
      const env = new nunjucks.Environment()
      registerCache(env, createCaches({ default: new LocMemCache() }))
      return env.renderString(`{% cache ${args} %}x{% endcache %}`, { user: { name: 'ann' } })
    },
  ],
  [
    'Eta',
    (args) => {
      const eta = new Eta({ plugins: [cachePlugin(createCaches({ default: new LocMemCache() }))] })
      return eta.renderString(`<% cache ${args} %>x<% endcache %>`, { user: { name: 'ann' } })
    },
  ],
]

it.each(engines)(
  'a name that looks like another argument is warned of once in %s',
  (engine, render) => {
    const own = `${engine}User`
    expect(warningsOf(() => render(`60 ${own}.name`))).toEqual([
      expect.stringMatching(
        new RegExp(
          `^fragment "${own}\\.name" \\(.*line 1\\): its name looks like a value.*cache 60 NAME ${own}\\.name`,
        ),
      ),
    ])
    expect(warningsOf(() => render(`60 ${own}.name`))).toEqual([])
    const number = String(engine.length + 600)
    expect(warningsOf(() => render(`greet ${number}`))).toEqual([
      expect.stringContaining(
        `its name is a number; the timeout comes first: cache ${number} NAME`,
      ),
    ])
    const value = String(engine.length + 700)
    expect(warningsOf(() => render(`60 ${value}`))).toEqual([
      expect.stringMatching(
        new RegExp(`its name is a number, and all share.*: cache 60 NAME ${value}$`),
      ),
    ])
  },
)

it.each(engines)('others are not in %s', (engine, render) => {
  const value = engine === 'Eta' ? 'it.user.name' : 'user.name'
  for (const args of [
    '60 sidebar',
    '60 "shop.sidebar"',
    `60 shop.sidebar ${value}`,
    '60 a-b',
    '60 top10',
  ]) {
    expect(warningsOf(() => render(args))).toEqual([])
  }
})

it.each(engines)(
  'so is a name that no name looks like, with values or without, in %s',
  (engine, render) => {
    for (const name of [
      `${engine}.name|lower`,
      `${engine}["name"]`,
      `${engine}?.name`,
      `f(${engine})`,
    ]) {
      expect(warningsOf(() => render(`60 ${name}`))).toEqual([
        expect.stringContaining('its name looks like a value') as string,
      ])
    }
    expect(warningsOf(() => render(`60 ${engine}.id|upper 7`))).toHaveLength(1)
    for (const name of [
      `${engine}-card 7`,
      `${engine}:card`,
      `nav/${engine}`,
      `${engine}.card 7`,
    ]) {
      expect(warningsOf(() => render(`60 ${name}`))).toEqual([])
    }
  },
)
