import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { FragmentCache } from '../fragment/render.js'
import { operationChannel, type OperationMessage } from '../observe/channels.js'
import { CommandError, errorLine, UsageError } from './faults.js'
import type { Session } from './session.js'
import { EXIT_DONE, type ExitCode } from './terminal.js'

export interface InvalidateArguments {
  readonly fragment?: string | undefined
  readonly tag?: string | undefined
  readonly url?: string | undefined
  readonly using?: string | undefined
  readonly soft?: boolean | undefined
}

/** Checks what needs no caches. @throws UsageError */
export function checkInvalidation({ fragment, tag, url, using, soft }: InvalidateArguments): void {
  const given = Object.entries({ fragment, tag, url }).filter(([, value]) => value !== undefined)
  if (given.length !== 1) {
    throw new UsageError(
      given.length === 0
        ? 'invalidate: say what: --fragment NAME, --tag TAG or --url URL'
        : `invalidate: one at a time: --${given.map(([name]) => name).join(' and --')} are given`,
    )
  }
  const [[name, value] = ['', '']] = given
  if (value === '') throw new UsageError(`invalidate: --${name} is empty`)
  if (url !== undefined && using !== undefined) {
    throw new UsageError(
      'invalidate: --using has no effect with --url: a URL is invalidated wherever it is kept',
    )
  }
  if (url !== undefined && soft === true) {
    throw new UsageError('invalidate: --soft has no effect with --url: pages are made again')
  }
  if (url !== undefined && !URL.canParse(url)) {
    throw new UsageError(
      `invalidate: --url ${JSON.stringify(url)} is no whole URL; give one such as https://example.com/countries/de`,
    )
  }
}

/** Makes a fragment, whatever has a tag, or a page a miss; if soft, stale. */
export async function invalidate(session: Session, args: InvalidateArguments): Promise<ExitCode> {
  const { fragment, tag, url, using, soft = false } = args
  if (using !== undefined) session.cache(using)
  if (url !== undefined) {
    await invalidateUrl(session, url)
  } else if (fragment !== undefined) {
    await invalidateFragment(session, fragment, using, soft)
  } else if (tag !== undefined) {
    await invalidateTag(session, tag, using, soft)
  }
  return EXIT_DONE
}

const became = (soft: boolean): string => (soft ? 'stale' : 'invalidated')

async function invalidateUrl(session: Session, url: string): Promise<void> {
  const { pages, path } = session.config
  if (pages === undefined) {
    throw new CommandError(
      `invalidate: --url needs to know the pages: let ${path} export { caches, pages } with what responseCache gave`,
    )
  }
  const aliases = await aliasesUsed(session, () => pages.invalidate(url))
  const away = await session.unreachable(aliases)
  if (aliases.length > 0 && away.length === aliases.length) {
    throw new CommandError(
      `invalidate: the pages are kept in the memory of the application's own process (${away.join(', ')}), which this command cannot reach; use the inspector there`,
    )
  }
  sayUnreached(session, away)
  session.result({ url }, () => `${url}: every stored variant is invalidated`)
}

async function invalidateFragment(
  session: Session,
  fragment: string,
  using: string | undefined,
  soft: boolean,
): Promise<void> {
  const { caches } = session
  const alias = using ?? ['template_fragments', 'default'].find((name) => caches.has(name))
  if (alias === undefined) {
    throw new CommandError(
      'invalidate: there is no cache called template_fragments or default; name the one with --using',
    )
  }
  await session.reachable(alias)
  sayUnreached(
    session,
    await session.unreachable(caches.aliases),
    '; what contains the fragment may stay there',
  )
  const fragments = new FragmentCache(caches)
  await inAll(session, () => fragments.invalidate(fragment, { using: alias, soft }))
  session.result(
    { fragment, using: alias, soft },
    () => `fragment ${JSON.stringify(fragment)} in ${alias}: every variant is ${became(soft)}`,
  )
}

async function invalidateTag(
  session: Session,
  tag: string,
  using: string | undefined,
  soft: boolean,
): Promise<void> {
  const { caches } = session
  let reached = [using ?? '']
  if (using === undefined) {
    const away = await session.unreachable(caches.aliases)
    sayUnreached(session, away)
    reached = caches.aliases.filter((alias) => !away.includes(alias))
    if (reached.length === 0) {
      throw new CommandError('invalidate: there is no cache that can be reached from here')
    }
    await inAll(session, () => caches.invalidateTags([tag], { soft }))
  } else {
    const cache = await session.reachable(using)
    await session.strictly(() => cache.invalidateTags([tag], { soft }))
  }
  session.result(
    { tag, aliases: reached, soft },
    () =>
      `tag ${JSON.stringify(tag)} in ${reached.join(', ')}: what was stored with it is ${became(soft)}`,
  )
}

async function inAll(session: Session, action: () => Promise<void>): Promise<void> {
  try {
    await session.strictly(action)
  } catch (error) {
    throw new CommandError(`invalidate: ${errorLine(error)}; every other cache was told`, {
      cause: error,
    })
  }
}

/** The caches that something uses; only caches know which ones keep the pages. */
async function aliasesUsed(session: Session, action: () => Promise<void>): Promise<string[]> {
  const used = new Set<string>()
  const note = (message: unknown) => void used.add((message as OperationMessage).alias)
  subscribe(operationChannel.name, note)
  try {
    await session.strictly(action)
  } finally {
    unsubscribe(operationChannel.name, note)
  }
  return session.caches.aliases.filter((alias) => used.has(alias))
}

/** Says which caches were left out, and what that means where it is not plain. */
function sayUnreached(session: Session, away: readonly string[], meaning = ''): void {
  if (away.length === 0) return
  session.say(
    `invalidate: not reached, since it is in the memory of the application's own process: ${away.join(', ')}${meaning}`,
  )
}
