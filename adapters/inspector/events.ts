import type {
  FragmentMessage,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
} from '../../src/observe/channels.js'
import { explainFragment } from '../../src/observe/reasons.js'
import type { ResponseTold } from '../../src/observe/watch.js'
import { explainResponse } from '../../src/pages/explanations.js'
import type { FeedEvent } from './api.js'
import type { AuditMessage } from './audit.js'
import { isRiskCode } from './risk-texts.js'
import { cutText, errorText } from './text.js'
import type { Warned } from './warnings.js'

/** Something that happened, as it was told. */
export type Happening =
  | { readonly kind: 'operation'; readonly message: OperationMessage }
  | { readonly kind: 'fragment'; readonly message: FragmentMessage }
  | { readonly kind: 'response'; readonly message: ResponseTold }
  | { readonly kind: 'outage'; readonly message: OutageMessage }
  | { readonly kind: 'refresh'; readonly message: RefreshMessage }
  | { readonly kind: 'warning'; readonly message: Warned }
  | { readonly kind: 'audit'; readonly message: AuditMessage }

/** Turns what happened into what the page shows. Values are in none. */
export function toFeedEvent(id: number, atMs: number, happening: Happening): FeedEvent {
  const { kind } = happening
  return { id, atMs, kind, ...detailsOf(happening) }
}

type Details = Omit<FeedEvent, 'id' | 'atMs' | 'kind'>

function detailsOf(happening: Happening): Details {
  switch (happening.kind) {
    case 'operation':
      return operationDetails(happening.message)
    case 'fragment':
      return fragmentDetails(happening.message)
    case 'response':
      return responseDetails(happening.message)
    case 'outage':
      return outageDetails(happening.message)
    case 'refresh': {
      const { alias, key, error } = happening.message
      return {
        alias,
        title: 'could not be refreshed, the old value is served',
        outcome: 'stale',
        key: cutText(key),
        detail: errorText(error),
      }
    }
    case 'warning': {
      const { code, message } = happening.message
      const href = isRiskCode(code) ? { href: `help#${code}` } : undefined
      return { alias: '', title: code, outcome: 'warning', detail: cutText(message), ...href }
    }
    case 'audit':
      return auditDetails(happening.message)
  }
}

function operationDetails(message: OperationMessage): Details {
  const { alias, operation, keys, hits, misses, durationMs, error } = message
  const [key] = keys
  const details: string[] = []
  if (keys.length > 1) details.push(`${keys.length} keys: ${hits} found, ${misses} not`)
  if (error !== undefined) details.push(errorText(error))
  return {
    alias,
    title: cutText(operation),
    ...(error !== undefined
      ? { outcome: 'error' }
      : hits + misses > 0 && { outcome: misses === 0 ? 'hit' : hits === 0 ? 'miss' : 'mixed' }),
    durationMs,
    ...(key !== undefined && { key: cutText(key) }),
    ...(details.length > 0 && { detail: cutText(details.join('; ')) }),
  }
}

function fragmentDetails(message: FragmentMessage): Details {
  const { alias, name, key, outcome, durationMs, bodyMs, template } = message
  const details: string[] = []
  const why = explainFragment(message)
  if (why !== undefined) details.push(why.slice(0, -1))
  if (template !== undefined) details.push(`in ${template}`)
  if (bodyMs > 0) details.push(`its body took ${bodyMs.toFixed(bodyMs < 10 ? 1 : 0)} ms`)
  return {
    alias,
    title: cutText(name),
    outcome,
    durationMs,
    key: cutText(key),
    ...(details.length > 0 && { detail: cutText(details.join('; ')) }),
  }
}

function responseDetails(message: ResponseTold): Details {
  const { alias, method, url, key, outcome } = message
  const why = outcome === 'hit' ? undefined : explainResponse(message)
  return {
    alias,
    title: cutText(`${method} ${url}`),
    outcome,
    key: cutText(key),
    ...(why !== undefined && { detail: why.sentence, href: `help#${why.code}` }),
  }
}

function outageDetails({ alias, backend, error, since, until }: OutageMessage): Details {
  const isOver = until !== undefined
  return {
    alias,
    title: isOver ? `${backend} answers again` : `${backend} does not answer`,
    outcome: isOver ? 'over' : 'error',
    ...(isOver && { durationMs: until - since }),
    detail: errorText(error),
    href: 'help#outage',
  }
}

function auditDetails({ action, alias = '', target, ok, error, ip, user }: AuditMessage): Details {
  const details: string[] = []
  if (user !== undefined) details.push(`by ${user}`)
  if (ip !== undefined) details.push(`from ${ip}`)
  if (error !== undefined) details.push(error)
  return {
    alias,
    title: cutText(target === '' ? action : `${action} ${target}`),
    outcome: ok ? 'done' : 'error',
    ...(details.length > 0 && { detail: cutText(details.join('; ')) }),
  }
}
