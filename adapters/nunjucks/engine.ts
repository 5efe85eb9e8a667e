import type { Environment } from 'nunjucks'

/**
 * What the adapter uses of Nunjucks beyond its published types (nunjucks 3.2, `src/`). All of it is
 * reached through the environment, so that no second copy of the engine is loaded.
 */

export interface Token {
  readonly type: string
  readonly value: string
  /** Counted from 0. */
  readonly lineno: number
  readonly colno: number
}

export interface Delimiters {
  readonly BLOCK_START: string
  readonly BLOCK_END: string
  readonly VARIABLE_START: string
  readonly VARIABLE_END: string
  readonly COMMENT_START: string
  readonly COMMENT_END: string
}

export interface Tokenizer {
  readonly str: string
  readonly index: number
  readonly tags: Delimiters
  readonly trimBlocks: boolean
  readonly lstripBlocks: boolean
  lineno: number
  colno: number
  in_code: boolean
  nextToken: () => Token | null
  forwardN(count: number): void
}

export interface Lexer {
  lex(
    source: string,
    options: {
      readonly tags: Readonly<Record<string, string>>
      readonly trimBlocks?: boolean
      readonly lstripBlocks?: boolean
    },
  ): Tokenizer
}

export interface Parser {
  readonly tokens: Tokenizer
  readonly constructor: new (tokens: Tokenizer) => Parser
  /** Those whose tags it knows. */
  extensions: readonly Extension[]
  parseAsRoot(): Node
  nextToken(): Token | null
  peekToken(): Token | null
  parseUntilBlocks(...names: readonly string[]): Node
  parseExpression(): Node
  advanceAfterBlockEnd(name: string): unknown
}

export interface Node {
  readonly lineno: number
  readonly colno: number
  readonly fields: readonly string[]
  readonly [field: string]: unknown
  findAll: (type: unknown, results?: Node[]) => Node[]
}

export interface NodeList extends Node {
  readonly children: Node[]
}

export type NodeClass<T extends Node = Node> = new (
  lineno: number,
  colno: number,
  ...fields: readonly unknown[]
) => T

/** The node classes by name. */
export interface Nodes {
  readonly Node: NodeClass
  readonly NodeList: NodeClass<NodeList>
  readonly Literal: NodeClass
  readonly Symbol: NodeClass
  readonly Output: NodeClass<NodeList>
  readonly TemplateData: NodeClass
  readonly Macro: NodeClass
  readonly Caller: NodeClass
  readonly Block: NodeClass
  readonly Extends: NodeClass
  readonly Include: NodeClass
  readonly Import: NodeClass
  readonly FromImport: NodeClass
  readonly Set: NodeClass
  readonly If: NodeClass
  readonly For: NodeClass
  readonly Switch: NodeClass
  readonly Is: NodeClass
  readonly Pair: NodeClass
  readonly FunCall: NodeClass
  readonly Filter: NodeClass
  readonly FilterAsync: NodeClass
  readonly CallExtension: NodeClass
  readonly CallExtensionAsync: NodeClass
}

export interface NunjucksFrame {
  readonly variables: Record<string, unknown>
  readonly parent: NunjucksFrame | undefined
  readonly isolateWrites: boolean | undefined
  topLevel: boolean
  lookup(name: string): unknown
  set: (name: string, value: unknown, resolveUp?: boolean) => void
  resolve: (name: string, forWrite?: boolean) => NunjucksFrame | undefined
  push(isolateWrites?: boolean): NunjucksFrame
}

/** An error that knows its place in a template. */
export interface LocatedError extends Error {
  Update(path: string | undefined): Error
}

export interface Runtime {
  readonly Frame: new () => NunjucksFrame
  markSafe(text: string): unknown
  handleError(error: unknown, lineno: number, colno: number): LocatedError
}

export type RenderCallback = (error: Error | null | undefined, text?: string | null) => void

export type BlockFunction = (
  env: unknown,
  context: Context,
  frame: NunjucksFrame,
  runtime: Runtime,
  callback: RenderCallback,
) => void

/** The variables of one render of one template. */
export interface Context {
  readonly constructor: new (variables: unknown, blocks: object, env: Engine) => Context
  readonly env: Engine
  ctx: Record<string, unknown>
  readonly exported: string[]
  setVariable: (name: string, value: unknown) => void
  getSuper(
    env: unknown,
    name: string,
    block: BlockFunction,
    frame: NunjucksFrame,
    runtime: Runtime,
    callback: RenderCallback,
  ): void
}

/** Takes what a compiled template holds in variables of its own. */
export interface Keeper {
  keep(index: number, value: unknown, name: string): void
  /** Instead of the runtime's: what is looked up there is in the frame or the context. */
  contextOrFrameLookup(): unknown
}

/** Line and column, counted from 0. */
export type Place = readonly [lineno: number, colno: number]

/** The function that a tag gives its body as, see `parse.ts`. */
export interface CompiledBody {
  /** Tells the place an error would be said to have, after setting it if one is given. */
  (use: { readonly at: true }, place?: Place): Place
  (use: Keeper, runtime: Keeper): void
  /** Whether there is anything that a {@link Keeper} would be given. */
  (use: { readonly holds: true }): boolean
  /** Gives what renders the body with the values it kept. It calls `callback` at its end. */
  (
    use: object,
    runtime: Runtime,
    context: Context,
    frame: NunjucksFrame,
    callback: RenderCallback,
  ): (...held: readonly unknown[]) => { toString(): string }
}

/** The holes of a template are among its blocks. */
export type Blocks = Readonly<Record<string, BlockFunction | undefined>>

/** What a template is made of where it was compiled before. */
export interface CompiledSource {
  readonly type: 'code'
  readonly obj: Readonly<Record<string, BlockFunction>>
}

export interface Template {
  readonly constructor: {
    new (source: CompiledSource, env: Engine, path: string | undefined): Template
    readonly prototype: Template
  }
  readonly env: Engine
  readonly path: string | undefined
  /** Only of a template that was compiled before. */
  readonly tmplProps?: Readonly<Record<string, BlockFunction>>
  readonly tmplStr?: string
  readonly blocks: Blocks
  readonly compiled: boolean
  rootRenderFunc: BlockFunction
  compile(): void
  _compile: () => void
  getExported: (...args: unknown[]) => void
  render: (
    context?: unknown,
    parentFrame?: NunjucksFrame | RenderCallback | null,
    callback?: RenderCallback,
  ) => string | null
}

export interface Extension {
  readonly tags?: readonly string[]
  parse(parser: Parser, nodes: Nodes, lexer: Lexer): Node
}

export type Filter = (this: unknown, ...args: unknown[]) => unknown

/** An environment, with the members that are replaced. */
export interface Engine {
  readonly opts: { readonly dev: boolean }
  readonly globals: Readonly<Record<string, unknown>>
  loaders: readonly { readonly async?: boolean }[]
  readonly asyncFilters: readonly string[]
  readonly extensions: Readonly<Record<string, Extension>>
  readonly extensionsList: Extension[]
  addExtension(name: string, extension: Extension): unknown
  /** @param use - Only from templates that were compiled with the cache, see `other-tags.ts`. */
  getExtension: (name: string, use?: string) => Extension | undefined
  hasExtension(name: string): boolean
  getFilter: (name: string) => Filter
  getTemplate: (...args: unknown[]) => Template | undefined
  invalidateCache: () => void
  on(event: 'update', listener: () => void): unknown
  render(
    template: unknown,
    context: object | undefined,
    callback: RenderCallback,
  ): string | null | undefined
  renderString: (
    source: string,
    context: object | undefined,
    options: StringOptions | RenderCallback | undefined,
    callback?: RenderCallback,
  ) => string | null
}

export interface StringOptions {
  /** The template's name in messages, and what relative names start from. */
  readonly path?: string | undefined
}

/** The same object, seen with its unpublished members. */
export function engineOf(env: Environment): Engine {
  return env as unknown as Engine
}
