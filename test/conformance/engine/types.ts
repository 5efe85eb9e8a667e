import type { AdapterOptions } from '../../../src/engine.js'
import type { Cache, Caches, HoleRenderer } from '../../../src/index.js'

/** How an engine writes the parts of the test templates. */
export interface EngineSyntax {
  /** Template code that outputs a variable, such as `user.name`. */
  readonly show: (path: string) => string
  /** A variable as an argument of the tag. */
  readonly value: (path: string) => string
  /**
   * A cache tag around a body.
   *
   * @param args - Its arguments: `500 "sidebar" user.name using="local"`.
   */
  readonly cache: (args: string, body: string) => string
  /** A loop over a list in the context, with the name of its variable. */
  readonly each: (list: string, item: string, body: string) => string
  /** Template code that renders another template in the same context. */
  readonly include: (template: string) => string
  /**
   * A nocache block.
   *
   * @param names - Its named values, such as `id=item.id`, or nothing.
   */
  readonly nocache?: ((names: string, body: string) => string) | undefined
}

/** The configuration of an engine. */
export interface EngineSetup {
  readonly caches: Caches
  readonly templates: Readonly<Record<string, string>>
  /** The options of its `registerCache`. */
  readonly options: AdapterOptions
}

/** A configured engine. */
export interface EngineInstance {
  /** Renders a template at once. Omitted: the engine cannot. */
  readonly render?: ((template: string, context: object) => string) | undefined
  /** Renders a template over any cache. Omitted: the engine cannot. */
  readonly renderAsync?: ((template: string, context: object) => Promise<string>) | undefined
  /** Fills nocache blocks that have no cache tag around them. */
  readonly holes?: ((context: object) => HoleRenderer) | undefined
}

/**
 * What an engine cannot do although others can. Declare each difference with its reason, which is shown.
 */
export interface EngineDifferences {
  /** Templates are rendered asynchronously only. */
  readonly noSync?: string | undefined
  /** Templates are rendered over caches that answer at once only. */
  readonly noAsync?: string | undefined
  /** Each fragment is looked up on its own: a level costs more than one round trip. */
  readonly oneByOne?: string | undefined
  /** The tag takes no commas between its arguments. */
  readonly noCommas?: string | undefined
  /** The name of a fragment has to be in quotes. */
  readonly quotedNames?: string | undefined
  /** The engine reports syntax errors of a tag itself, without information about the tag. */
  readonly ownSyntaxErrors?: string | undefined
  /** Keys have no digest of the template's source. */
  readonly noDigest?: string | undefined
  /** There is no tag `nocache`. */
  readonly noHoles?: string | undefined
}

/** An engine as the suite sees it. */
export interface EngineUnderTest {
  readonly syntax: EngineSyntax
  /** Creates an engine with the tag. Called for each setup; engines must not share anything. */
  readonly create: (setup: EngineSetup) => EngineInstance | Promise<EngineInstance>
  /**
   * Further stores to run over, such as a server's, by name. Each call opens an empty one, which the suite
   * closes. Local memory and an asynchronous store are always among them.
   */
  readonly stores?: Readonly<Record<string, () => Cache | Promise<Cache>>> | undefined
  readonly differences?: EngineDifferences | undefined
}

/** One that is not there in every engine. */
export type Capability = keyof EngineDifferences

/** A render and what has to come of it. */
export interface CaseRender {
  /** Left out: that of the case. */
  readonly context?: () => object
  readonly output?: string
  /** What the message of the error says. */
  readonly error?: RegExp
  /** How many bodies of cache tags run. */
  readonly bodyRuns?: number
  /** Done before it. */
  readonly before?: (caches: Caches) => Promise<unknown>
}

/** Templates, rendered one after the other over one store. */
export interface EngineCase {
  readonly name: string
  /** What it takes; where the engine cannot, the case is left out. */
  readonly needs?: readonly Capability[]
  /** By name; `main` is rendered. */
  readonly templates: (syntax: EngineSyntax) => Readonly<Record<string, string>>
  readonly context?: () => object
  readonly options?: EngineSetup['options']
  readonly renders: readonly CaseRender[]
  /** Its outcome is another one where nothing is kept. */
  readonly keptOnly?: boolean
}
