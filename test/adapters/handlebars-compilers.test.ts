import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { beforeEach, describe, expect, it } from 'vitest'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'

/** What docs/compiler-api.md of Handlebars has of the compiler, beyond its published types. */
interface JavaScriptCompiler {
  compiler: unknown
  forceBuffer?: boolean
  source: { functionCall(name: string, kind: string, args: unknown[]): unknown }
  nameLookup(parent: unknown, name: string, type: string): unknown
  depthedLookup(name: string): unknown
  compilerInfo(): unknown
  appendToBuffer(source: unknown, location: unknown, explicit: boolean): unknown
  initializeBuffer(): unknown
  quotedString(text: string): string
}
type JavaScriptCompilerClass = (new () => JavaScriptCompiler) & {
  readonly prototype: JavaScriptCompiler
}
interface Compilers {
  JavaScriptCompiler: JavaScriptCompilerClass
  Compiler: new () => { compile(tree: unknown, options: object): unknown }
}
type Environment = typeof Handlebars & Compilers
type Tree = hbs.AST.Program

const create = () => Handlebars.create() as unknown as Environment

function register(environment: Environment): FragmentCache {
  const fragments = new FragmentCache(createCaches({ default: new LocMemCache() }))
  registerCache(environment, fragments)
  return fragments
}

function withTag(): Environment {
  const environment = create()
  register(environment)
  return environment
}

/** Puts a method of the compiler's prototype in place of its own, for the time of a test. */
function patch<Name extends keyof JavaScriptCompiler>(
  { JavaScriptCompiler }: Compilers,
  name: Name,
  method: JavaScriptCompiler[Name],
): Disposable {
  const { prototype } = JavaScriptCompiler
  const own = Object.getOwnPropertyDescriptor(prototype, name)
  prototype[name] = method
  return {
    [Symbol.dispose]() {
      if (own === undefined) Reflect.deleteProperty(prototype, name)
      else Object.defineProperty(prototype, name, own)
    },
  }
}

const SOURCE =
  '{{A}}{{#cache 60 "f" A}}{{#each LIST}}{{B}},{{/each}}{{#nocache}}{{WHO}}{{/nocache}}{{/cache}}'
const PLAIN = '{{A}}{{#each LIST}}{{B}},{{/each}}{{WHO}}'
const CONTEXT = { a: 'x', list: [{ b: 1 }, { b: 2 }], who: 'me' }

/** Spelt as in the documentation: a function that calls the one it is derived from. */
function lowerCasing(environment: Environment): JavaScriptCompilerClass {
  const Base = environment.JavaScriptCompiler
  function LowerCasing(this: unknown, ...args: unknown[]) {
    Reflect.apply(Base as unknown as () => void, this, args)
  }
  const prototype = new Base()
  LowerCasing.prototype = prototype
  prototype.compiler = LowerCasing
  prototype.nameLookup = function (parent, name, type) {
    return type === 'context'
      ? this.source.functionCall('helpers.lower', '', [parent, JSON.stringify(name), '{}'])
      : Base.prototype.nameLookup.call(this, parent, name, type)
  }
  return LowerCasing as unknown as JavaScriptCompilerClass
}

function useLowerCasing(environment: Environment): void {
  environment.registerHelper(
    'lower',
    (parent: Record<string, unknown> | null, name: string) => parent?.[name.toLowerCase()],
  )
  environment.JavaScriptCompiler = lowerCasing(environment)
}

describe('an instance with the tag', () => {
  it('has the compiler to JavaScript of Handlebars', () => {
    expect(withTag().JavaScriptCompiler).toBe(create().JavaScriptCompiler)
  })

  it('has the keys of one without', () => {
    expect(Object.keys(withTag())).toEqual(Object.keys(create()))
  })

  it.each([undefined, null, {}, 'text', 5])(
    'says of %j in the place of a template what Handlebars says',
    (spec) => {
      const messageOf = ({ template }: Environment) => {
        try {
          template(spec as never)
        } catch (error) {
          return (error as Error).message
        }
        return undefined
      }
      expect(messageOf(withTag())).toBe(messageOf(create()))
      expect(messageOf(withTag())).toContain('Unknown template object')
    },
  )

  it.each([undefined, null, 5, {}])(
    'says of %j in the place of a source what Handlebars says',
    (source) => {
      const messagesOf = (environment: Environment) =>
        (['compile', 'precompile'] as const).map((name) => {
          try {
            return environment[name](source)
          } catch (error) {
            return (error as Error).message
          }
        })
      expect(messagesOf(withTag())).toEqual(messagesOf(create()))
    },
  )
})

describe.each(['before', 'after'])('a compiler that was replaced %s registering', (when) => {
  let environment: Environment
  let fragments: FragmentCache
  const inOrder = (replace: () => void) => {
    if (when === 'before') replace()
    fragments = register(environment)
    if (when === 'after') replace()
  }
  beforeEach(() => {
    environment = create()
  })

  it('compiles templates by its own rules, with the tag, in blocks and on hits', () => {
    inOrder(() => {
      useLowerCasing(environment)
    })
    const plain = create()
    useLowerCasing(plain)
    const expected = plain.compile(PLAIN)(CONTEXT)
    expect(expected).toBe('x1,2,me')
    const template = environment.compile(SOURCE)
    expect(template(CONTEXT)).toBe(expected)
    expect(template({ ...CONTEXT, list: [], who: 'you' })).toBe('x1,2,you')
  })

  it('precompiles them too', () => {
    inOrder(() => {
      useLowerCasing(environment)
    })
    const code = environment.precompile(SOURCE) as string
    const template = environment.template((0, eval)(`(${code})`) as TemplateSpecification)
    expect(template(CONTEXT)).toBe('x1,2,me')
    expect(template({ ...CONTEXT, list: [], who: 'you' })).toBe('x1,2,you')
  })

  it('may look a name up in all contexts around', () => {
    inOrder(() => {
      const Base = environment.JavaScriptCompiler
      environment.JavaScriptCompiler = class Depthed extends Base {
        override depthedLookup(name: string): unknown {
          return ['container.lookup(depths, ', this.quotedString(name.toLowerCase()), ')']
        }
      }
      environment.JavaScriptCompiler.prototype.compiler = environment.JavaScriptCompiler
    })
    const source = (tag: string, end: string) =>
      `{{#each list}}${tag}{{b}}{{T}}{{#with o}}{{T}}{{/with}}${end}{{/each}}`
    const context = { t: 't', list: [{ b: 1, o: {} }] }
    const tagged = environment.compile(source('{{#cache 60 "d" b}}', '{{/cache}}'), {
      compat: true,
    })
    expect(tagged(context)).toBe('1tt')
    expect(tagged(context)).toBe('1tt')
  })

  it('may name the version it compiles for', () => {
    inOrder(() => {
      const Base = environment.JavaScriptCompiler
      environment.JavaScriptCompiler = class Future extends Base {
        override compilerInfo(): unknown {
          return [99, 'a later one']
        }
      }
    })
    expect(() => environment.compile(SOURCE)(CONTEXT)).toThrow('a later one')
  })

  it('may be the class for trees', () => {
    inOrder(() => {
      const Base = environment.Compiler as unknown as () => void
      function Own(this: unknown) {
        Reflect.apply(Base, this, [])
      }
      Own.prototype = Object.create(Base.prototype as object) as object
      Object.assign(Own.prototype, {
        compiler: Own,
        ContentStatement(this: { opcode: (...args: unknown[]) => void }, node: { value: string }) {
          this.opcode('appendContent', node.value.toUpperCase())
        },
      })
      environment.Compiler = Own as unknown as Compilers['Compiler']
    })
    const template = environment.compile(
      'a{{#cache 60 "f" x}}b{{#if x}}c{{/if}}{{#nocache}}d{{v}}{{/nocache}}{{/cache}}',
    )
    expect(template({ x: 1, v: 1 })).toBe('ABCD1')
    expect(template({ x: 1, v: 2 })).toBe('ABCD2')
  })

  it('leaves other fragments to be invalidated by name', async () => {
    inOrder(() => {
      useLowerCasing(environment)
    })
    const template = environment.compile('{{#cache 60 "f"}}{{V}}{{/cache}}')
    expect([template({ v: 1 }), template({ v: 2 })]).toEqual(['1', '1'])
    await fragments.invalidate('f')
    expect(template({ v: 2 })).toBe('2')
  })
})

describe('a patch of the compiler made after registering', () => {
  it.each([true, false])('reaches what is inside of blocks; with the tag: %s', (isTagged) => {
    const environment = isTagged ? withTag() : create()
    const { nameLookup } = environment.JavaScriptCompiler.prototype
    using _ = patch(
      environment,
      'nameLookup',
      function (this: JavaScriptCompiler, parent, name, type) {
        return nameLookup.call(this, parent, type === 'context' ? name.toLowerCase() : name, type)
      },
    )
    const source = isTagged ? SOURCE : PLAIN
    expect(environment.compile(source)(CONTEXT)).toBe('x1,2,me')
  })

  it.each([true, false])('of the buffer does too; with the tag: %s', (isTagged) => {
    const environment = isTagged ? withTag() : create()
    using _ = patch(environment, 'forceBuffer', true)
    using __ = patch(environment, 'initializeBuffer', function (this: JavaScriptCompiler) {
      return this.quotedString('^')
    })
    const [tag, end] = isTagged ? ['{{#cache 60 "f" a}}', '{{/cache}}'] : ['{{#if a}}', '{{/if}}']
    const template = environment.compile(`1${tag}2{{#if a}}3{{a}}{{/if}}4${end}`)
    expect(template({ a: 'x' })).toBe('^1^2^3x4')
    expect(template({ a: 'x' })).toBe('^1^2^3x4')
  })

  it('reaches every instance, as without the tag', () => {
    const other = create()
    using _ = patch(withTag(), 'initializeBuffer', function (this: JavaScriptCompiler) {
      return this.quotedString('^')
    })
    using __ = patch(other, 'forceBuffer', true)
    expect(other.compile('a{{b}}')({ b: 1 })).toBe('^a1')
  })
})

describe('what else compiles', () => {
  it('is a tree that was parsed before, with and without options', () => {
    for (const parse of ['parse', 'parseWithoutProcessing'] as const) {
      const environment = withTag()
      const tree = environment[parse](
        '{{#cache 60 "f" a}}{{a}}{{#nocache}}{{v}}{{/nocache}}{{/cache}}',
      )
      for (const [v, options] of [{}, { srcName: 'page.hbs' }].entries()) {
        expect(environment.compile(tree, options as CompileOptions)({ a: 'A', v })).toBe(`A${v}`)
      }
    }
  })

  it('is a tree that went through JSON', () => {
    const environment = withTag()
    const source = '{{#cache 60 "f" a b}}{{a}}{{#nocache}}{{v}}{{/nocache}}{{/cache}}'
    const tree = JSON.parse(JSON.stringify(environment.parse(source))) as hbs.AST.Program
    const template = environment.compile(tree)
    expect(template({ a: 'A', v: 1 })).toBe('A1')
    expect(environment.compile(source)({ a: 'B', v: 1 })).toBe('B1')
    expect(template({ a: 'A', v: 2 })).toBe('A2')
  })

  it.each([
    ['ids of arguments', { trackIds: true }],
    ['a name and a source map', { srcName: 'page.hbs' }],
    [
      'known helpers only',
      { knownHelpersOnly: true, knownHelpers: { cache: true, nocache: true } },
    ],
    ['strict lookup', { strict: true }],
    ['objects that are taken to be there', { assumeObjects: true }],
    ['no data', { data: false }],
    ['names of all contexts around', { compat: true }],
    ['no escaping', { noEscape: true }],
  ])('is source, with the option for %s', (_, options) => {
    const environment = withTag()
    const source =
      '{{#if a}}<{{a}}>{{#cache 60 "f" a using="default"}}{{#each xs}}{{this}}{{/each}}' +
      '{{#nocache}}[{{#if v}}{{v}}{{/if}}]{{/nocache}}{{#nocache}}({{v}}){{/nocache}}{{/cache}}{{/if}}'
    const precompiled = environment.precompile(source, { ...options } as PrecompileOptions)
    const code =
      typeof precompiled === 'string' ? precompiled : (precompiled as { code: string }).code
    for (const template of [
      environment.compile(source, { ...options } as CompileOptions),
      environment.template((0, eval)(`(${code})`) as TemplateSpecification),
    ]) {
      expect(template({ a: 'A', xs: [1, 2], v: 'x' })).toBe('<A>12[x](x)')
      expect(template({ a: 'A', xs: [], v: 'y' })).toBe('<A>12[y](y)')
    }
  })

  describe('is what the two compilers are called for by hand:', () => {
    const sourceOf = (name: string) =>
      `{{#cache 60 "${name}" a}}{{a}}{{#nocache}}${name}[{{v}}]{{/nocache}}{{/cache}}`
    const toTree = (environment: Environment, tree: Tree, options: object) =>
      new environment.Compiler().compile(tree, options)
    const toSpec = (
      environment: Environment,
      compiled: unknown,
      options: object,
      isObject = true,
    ) => {
      const writer = new environment.JavaScriptCompiler() as unknown as {
        compile: (...args: unknown[]) => unknown
      }
      return writer.compile(compiled, options, undefined, isObject) as TemplateSpecification
    }
    const rendersOf = (templates: readonly HandlebarsTemplateDelegate[]) =>
      templates.map((template) => [template({ a: 'x', v: 1 }), template({ a: 'x', v: 2 })])
    const expected = [
      ['xA[1]', 'xA[2]'],
      ['xB[1]', 'xB[2]'],
    ]

    it.each(['one after another', 'step by step'])(
      'two trees with the same options, %s',
      (order) => {
        const environment = withTag()
        const options = { data: true }
        const trees = ['A', 'B'].map((name) => environment.parse(sourceOf(name), options as never))
        const templates =
          order === 'step by step'
            ? trees
                .map((tree) => toTree(environment, tree, options))
                .map((compiled) => toSpec(environment, compiled, options))
                .map((spec) => environment.template(spec))
            : trees.map((tree) =>
                environment.template(
                  toSpec(environment, toTree(environment, tree, options), options),
                ),
              )
        expect(rendersOf(templates)).toEqual(expected)
      },
    )

    it('trees that the instance has not parsed, with the same options', () => {
      const environment = withTag()
      const options = { data: true }
      const templates = [
        environment.parseWithoutProcessing(sourceOf('A')),
        JSON.parse(JSON.stringify(environment.parse(sourceOf('B'), options as never))) as Tree,
      ]
        .map((tree) => toTree(environment, tree, options))
        .map((compiled) => environment.template(toSpec(environment, compiled, options)))
      expect(rendersOf(templates)).toEqual(expected)
    })

    it('a tree with several options', () => {
      const environment = withTag()
      const tree = environment.parse(sourceOf('A'))
      const templates = [{ data: true }, { data: true, noEscape: true }].map((options) =>
        environment.template(toSpec(environment, toTree(environment, tree, options), options)),
      )
      const renders = templates.map((template, i) => [
        template({ a: `${i}&`, v: '<1>' }),
        template({ a: `${i}&`, v: '<2>' }),
      ])
      expect(renders).toEqual([
        ['0&amp;A[&lt;1&gt;]', '0&amp;A[&lt;2&gt;]'],
        ['1&A[<1>]', '1&A[<2>]'],
      ])
    })

    it('trees for another process', () => {
      const [builder, environment] = [withTag(), withTag()]
      const options = { data: true }
      const codes = ['A', 'B']
        .map((name) => toTree(builder, builder.parse(sourceOf(name), options as never), options))
        .map((compiled) => toSpec(builder, compiled, options, false) as unknown as string)
      const templates = codes.map((code) =>
        environment.template((0, eval)(`(${code})`) as TemplateSpecification),
      )
      expect(rendersOf(templates)).toEqual(expected)
    })

    it('what is not a tree is refused with the words of Handlebars', () => {
      const messageOf = (environment: Environment, tree: unknown) => {
        try {
          toTree(environment, tree as Tree, {})
        } catch (error) {
          return (error as Error).message
        }
        return undefined
      }
      for (const tree of [undefined, 5, {}, { type: 'None' }]) {
        expect(messageOf(withTag(), tree)).toBe(messageOf(create(), tree))
        expect(messageOf(withTag(), tree)).toEqual(expect.any(String))
      }
    })
  })

  it('is a template whose tree is compiled by a class that does not know the tag', () => {
    const environment = withTag()
    environment.Compiler = create().Compiler
    const source = '{{#cache 60 "f"}}{{a}}{{#nocache}}{{v}}{{/nocache}}{{/cache}}'
    const template = environment.compile(source)
    expect([template({ a: 'A', v: 1 }), template({ v: 2 })]).toEqual(['A1', 'A2'])
  })
})

it('a name is not a tag once its helper is unregistered', () => {
  const environment = withTag()
  environment.unregisterHelper('cache')
  environment.unregisterHelper('nocache')
  const source = '{{#cache}}{{v}}{{/cache}}{{#nocache}}{{v}}{{/nocache}}{{cache.length}}'
  const context = { cache: [{ v: 1 }, { v: 2 }], nocache: { v: 3 } }
  expect(environment.compile(source)(context)).toBe(create().compile(source)(context))
})
