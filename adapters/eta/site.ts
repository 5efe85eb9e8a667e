import type { CacheTag } from '../../src/engine.js'
import type { CompiledTag } from './compiled.js'
import type { Digest } from './digest.js'

/** A tag as the run time sees it; made once per compiled template. */
export interface EtaSite extends Pick<
  CompiledTag,
  'awaits' | 'nests' | 'exposed' | 'source' | 'ownNames'
> {
  readonly tag: CacheTag
  /** Of the template, as it was when the tag was last run. */
  digest: Digest | undefined
}
