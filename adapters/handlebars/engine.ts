import type Handlebars from 'handlebars'
import type { Node, Place } from './syntax.js'

/**
 * What the adapter uses of Handlebars beyond its published types: compiled programs and the
 * container they run in (handlebars 4.7, `lib/handlebars/runtime.js`).
 */

/** A data frame: `@index`, `@root` and their kin. Helpers change it while they iterate. */
export interface DataFrame {
  _parent?: DataFrame
  /** What the page's template was given. */
  root?: unknown
  readonly [name: string]: unknown
}

/** The body of a block, as a helper gets it. */
export interface Program {
  (context: unknown, options?: { readonly data?: DataFrame }): unknown
  /** Only on what Handlebars made. */
  readonly program?: number
  readonly blockParams?: number
}

/** The last argument of every helper. */
export interface HelperOptions {
  readonly fn?: Program
  readonly inverse?: Program
  readonly hash: Readonly<Record<string, unknown>>
  readonly data?: DataFrame
  readonly loc?: SourceLocation
  /** Only with the compile option `stringParams`. */
  readonly types?: readonly string[]
}

export interface SourceLocation {
  /** The compile option `srcName`. */
  readonly source?: string
  readonly start: Place
}

export interface PartialOptions {
  readonly name?: string
  readonly partials?: Readonly<Record<string, unknown>>
  indent?: string | undefined
  hash?: Readonly<Record<string, unknown>> | undefined
  /** Only with the compile option `trackIds`. */
  readonly ids?: unknown
  readonly data?: unknown
  readonly helpers?: unknown
  readonly decorators?: unknown
  readonly depths?: unknown
}

/** What of a container is set again by each render, and so belongs to one only. */
export interface ContainerState {
  helpers: unknown
  partials: unknown
  decorators: unknown
  hooks: unknown
  protoAccessControl: unknown
}

/** The code of a part of a template, as Handlebars makes it. */
export interface Code {
  (
    container: unknown,
    context: unknown,
    helpers: unknown,
    partials: unknown,
    data: DataFrame | undefined,
    blockParams: readonly unknown[] | undefined,
    depths: readonly unknown[] | undefined,
  ): unknown
  readonly decorator?: unknown
}

/** One per compiled template, shared by all its renders. */
export interface Container extends ContainerState {
  /** A program's code, with its decorator. */
  fn: (this: Container, index: number) => Code
  /** A property that may be read of an object. */
  lookupProperty: (parent: unknown, name: string) => unknown
  /** A frame so many levels up. */
  data: (value: unknown, depth: number) => unknown
  program: (
    this: Container,
    index: number,
    data: unknown,
    declaredBlockParams: unknown,
    blockParams: unknown,
    depths: unknown,
  ) => Program
  invokePartial: (
    this: Container,
    partial: unknown,
    context: unknown,
    options: PartialOptions,
  ) => unknown
}

export type Main = (
  container: Container,
  context: unknown,
  helpers: unknown,
  partials: unknown,
  data: unknown,
  blockParams: unknown,
  depths: unknown,
) => unknown

/** A compiled template; as a partial it is called with more than the published options. */
export type Render = (context: unknown, options?: unknown) => string

export interface TemplateSpec {
  readonly main?: Main
  /** What is declared at its top, such as inline partials. */
  readonly main_d?: Decorate
  readonly useDepths?: boolean
  readonly compat?: boolean
  /** Only on what was compiled here: the options it was compiled with, and its partials will be. */
  readonly compilerOptions?: object
}

/** Runs the decorators of a template. */
export type Decorate = (
  fn: unknown,
  props: unknown,
  container: Container,
  ...more: unknown[]
) => unknown

/** Turns a syntax tree into operations, and one for each program inside. */
export interface Compiler {
  compiler: CompilerClass
  readonly opcodes: { opcode: string; args: unknown[]; loc: undefined }[]
  /** The programs inside. */
  readonly children: Compiler[]
  /** @returns Itself. */
  compile(tree: Node, options: ParseOptions): Compiler
  /** @returns The number of the program among the children. */
  compileProgram(program: Node): number
  StringLiteral(literal: Node): void
  /** @returns The parameters. */
  setupFullMustacheParams(call: Node, ...more: unknown[]): readonly Node[]
  opcode(name: string, ...args: unknown[]): void
}

export interface CompilerClass {
  new (): Compiler
  readonly prototype: Compiler
}

/** Compile options that change what a tag gets. */
export interface ParseOptions {
  readonly srcName?: string
  readonly knownHelpers?: Readonly<Record<string, boolean>>
  readonly knownHelpersOnly?: boolean
  readonly stringParams?: boolean
  readonly explicitPartialContext?: boolean
}

/** An instance, with the members that are replaced. */
export interface Instance {
  registerHelper: typeof Handlebars.registerHelper
  readonly helpers: Readonly<Record<string, unknown>>
  template: (spec: TemplateSpec) => Render
  /** Left out in Handlebars' runtime-only build, as `compile`. */
  parse?: (input: unknown, options?: ParseOptions) => unknown
  precompile?: (input: unknown, options?: unknown) => unknown
  compile?: (source: string, options?: object, ...more: unknown[]) => Render
  Compiler?: CompilerClass
  readonly partials: Record<string, unknown>
}
