import type { PageTags } from './settings.js'
import type { Place } from './place.js'

/** For how long a page is stored, and with which tags; middlewares further in may shorten the time. */
export class Terms {
  /** `undefined`: no time is given; `null`: no limit. */
  seconds: number | null | undefined
  tags: PageTags

  constructor({ pageSeconds, tags }: Place) {
    this.seconds = pageSeconds
    this.tags = tags
  }

  /** Tags whose versions have to be read before the handler runs. */
  get earlyTags(): readonly string[] {
    return typeof this.tags === 'function' ? [] : this.tags
  }

  /** Takes over what a middleware further in asks for. */
  absorb({ pageSeconds, tags }: Place): void {
    if (isShorter(pageSeconds, this.seconds)) this.seconds = pageSeconds
    if (typeof tags === 'function') this.tags = tags
  }
}

function isShorter(seconds: number | null | undefined, than: number | null | undefined): boolean {
  if (seconds === undefined || than === undefined) return than === undefined
  return seconds !== null && (than === null || seconds < than)
}
