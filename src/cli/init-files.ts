/** A template engine, as it is used in Express. */
export interface Engine {
  readonly name: string
  /** All of them are dependencies where it is used. */
  readonly packages: readonly string[]
  /** The lines of the application. */
  readonly use: readonly string[]
  /** The tag in a template. */
  readonly tag: string
  /** Of the module that gives it the tag. */
  readonly imports: (t: Typed) => string
  readonly body: (t: Typed) => string
}

/** Gives what is for TypeScript alone, or the empty text. */
type Typed = (text: string) => string

const HANDLEBARS_TAG = '{{#cache 300 "news" tags="news"}} … {{/cache}}'

/** The known engines. Those that build on another one come first. */
export const ENGINES: readonly Engine[] = [
  {
    name: 'nunjucks',
    packages: ['nunjucks'],
    use: [
      "setUpCache(nunjucks.configure('views', { express: app }))",
      "app.set('view engine', 'njk') // or what the names of your templates end in",
    ],
    tag: '{% cache 300 news tags="news" %} … {% endcache %}',
    imports: (t) => `import { registerCache } from 'fragcache/nunjucks'
${t("import type { Environment } from 'nunjucks'\n")}`,
    body: (t) => `/** Gives the templates of an environment the cache tag. */
export function setUpCache(env${t(': Environment')})${t(': void')} {
  registerCache(env, caches)
}`,
  },
  {
    name: 'express-handlebars',
    packages: ['express-handlebars'],
    use: ["setUpCache(app) // in place of app.engine('hbs', …)"],
    tag: HANDLEBARS_TAG,
    imports: (
      t,
    ) => `${t("import type { Express } from 'express'\n")}import { create } from 'express-handlebars'
import { cacheEngine } from 'fragcache/handlebars'
`,
    body: (
      t,
    ) => `/** Makes express-handlebars the engine of .hbs files, with the cache tag in them. */
${setUpEngine(t, 'hbs', "create({ extname: '.hbs' })")}`,
  },
  {
    name: 'hbs',
    packages: ['hbs'],
    use: ['setUpCache(app)'],
    tag: HANDLEBARS_TAG,
    imports: (
      t,
    ) => `${t("import type { Express } from 'express'\n")}import { cacheEngine } from 'fragcache/handlebars'
${t('// @ts-ignore: its types are in @types/hbs\n')}import hbs from 'hbs'
`,
    body: (t) => `/** Gives the templates of hbs the cache tag. */
${setUpEngine(t, 'hbs', 'hbs')}`,
  },
  {
    name: 'handlebars',
    packages: ['handlebars'],
    use: ['setUpCache(Handlebars)'],
    tag: HANDLEBARS_TAG,
    imports: (t) => `import { registerCache } from 'fragcache/handlebars'
${t("import type Handlebars from 'handlebars'\n")}`,
    body: (t) => `/** Gives the templates of a Handlebars instance the cache tag. */
export function setUpCache(handlebars${t(': typeof Handlebars')})${t(': void')} {
  registerCache(handlebars, caches)
}`,
  },
  {
    name: 'eta',
    packages: ['eta'],
    use: ['setUpCache(app)'],
    tag: '<% cache 300 news tags="news" %> … <% endcache %>',
    imports: (t) => `import { Eta } from 'eta'
${t("import type { Express } from 'express'\n")}import { cacheEngine } from 'fragcache/eta'
`,
    body: (t) => `/** Makes Eta the engine of .eta files, with the cache tag in them. */
${setUpEngine(t, 'eta', 'new Eta({ cache: true })')}`,
  },
]

/** @param engine - The expression that makes it. */
function setUpEngine(t: Typed, extension: string, engine: string): string {
  return `export function setUpCache(app${t(': Express')})${t(': void')} {
  app.engine('${extension}', cacheEngine(${engine}, caches))
  app.set('view engine', '${extension}')
}`
}

/** The module with the caches, which the application and the command line load. */
export function configText(): string {
  return `import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'

// Memory of one process. For several, and for the command line to see it, put a cache that they share in its place,
// such as RedisCache of 'fragcache/redis'.
export const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 10_000 } }) })

export const pages = responseCache(caches)

export default { caches, pages }
`
}

/** The module that the application imports. @param config - Where the other one is imported from. */
export function setupText(
  engine: Engine | undefined,
  { isTyped, config }: { readonly isTyped: boolean; readonly config: string },
): string {
  const t: Typed = (text) => (isTyped ? text : '')
  return `${engine?.imports(t) ?? ''}import { caches, pages } from '${config}'

// Whole pages: app.get('/', pages.cachePage(60), …). When something changes: caches.invalidateTags(['news']).
export { caches, pages }
${engine === undefined ? '' : `\n${engine.body(t)}\n`}`
}
