import { CacheTagError, show, type TagPosition } from '../../src/errors.js'
import { digestOf } from './check.js'
import { templateOf } from './instrument.js'
import { isInline, type TemplateRegistry } from './partials.js'
import type { Template } from './template.js'

type Partials = Readonly<Record<string, unknown>> | undefined

/** A digest and the partials it was made from. */
interface Known {
  readonly digest: string
  readonly seen: readonly (readonly [name: string, partial: unknown])[]
}

/** Digests of templates and all the partials that they name, transitively. */
export class Digests {
  readonly #registry: TemplateRegistry
  readonly #known = new WeakMap<Template, Known>()
  readonly #warned = new Set<string>()

  constructor(registry: TemplateRegistry) {
    this.#registry = registry
  }

  /**
   * The digest of a template. It is made once, and again when one of its partials is another one.
   *
   * @throws CacheTagError: the template was precompiled without the tag.
   */
  digestOf(template: Template | undefined, partials: Partials, position: TagPosition): string {
    if (template?.facts === undefined) {
      throw new CacheTagError(
        'its template was precompiled without the tag, so that there is no digest of its source; call registerCache on the Handlebars instance that precompiles it, or leave digest out',
        position,
      )
    }
    const known = this.#known.get(template)
    if (known?.seen.every(([name, partial]) => sourceOf(partials?.[name]) === partial) === true) {
      return known.digest
    }
    const made = this.#make(template.facts, partials, position)
    this.#known.set(template, made)
    return made.digest
  }

  #make(facts: NonNullable<Template['facts']>, partials: Partials, position: TagPosition): Known {
    const parts: string[] = []
    const seen: (readonly [string, unknown])[] = []
    if (facts.namesByExpression) this.#warn('a partial is named by an expression', position)
    const names = new Set(facts.partials)
    for (const name of names) {
      const partial = partials?.[name]
      seen.push([name, sourceOf(partial)])
      if (partial === undefined) continue
      const inner = this.#registry.factsOf(partial)
      parts.push(JSON.stringify([name, inner?.hash]))
      if (inner === undefined) {
        this.#warn(`the source of the partial ${show(name)} is not known`, position)
        continue
      }
      if (inner.namesByExpression) {
        this.#warn(`the partial ${show(name)} names another by an expression`, position)
      }
      for (const one of inner.partials) names.add(one)
    }
    // In whatever order they were met.
    return { digest: digestOf(`${facts.hash}\n${parts.sort().join('\n')}`), seen }
  }

  #warn(what: string, { template, line }: TagPosition): void {
    const text = `${template ?? 'a template'}, line ${line ?? '?'}: ${what}, so that the digest does not cover it; use the keyword version, or delete such fragments when that partial changes`
    if (this.#warned.has(text) || this.#warned.size >= MAX_WARNED) return
    this.#warned.add(text)
    process.emitWarning(text, {
      type: 'FragmentDigestWarning',
      code: 'FRAGCACHE_DIGEST_INCOMPLETE',
    })
  }
}

const MAX_WARNED = 1_000

/** What distinguishes partials: each render creates an inline one again. */
function sourceOf(partial: unknown): unknown {
  return isInline(partial) ? (templateOf(partial) ?? partial) : partial
}
