import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { HeaderFields } from '../../src/http/header-values.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import {
  judgeResponse,
  lookupRefusal,
  type Retention,
  type StoreOptions,
} from '../../src/pages/policy.js'

const T = 1_700_000_000_000

interface LookupRow {
  id: string
  rfc: string
  request: { method?: string; uri?: null; headers?: HeaderFields }
  refused: string | null
}

interface StoreRow {
  id: string
  rfc: string
  request?: { method?: string; personal?: boolean; hasCookie?: boolean }
  status?: number
  headers: HeaderFields
  options?: Partial<StoreOptions>
  refused?: string
  keep?: number | null
  age?: number
  vary?: string[]
  public?: boolean
  retention?: Partial<Retention>
  cacheControl?: string
  expires?: number
}

const rows = JSON.parse(
  readFileSync(new URL('../../fixtures/http/policy.json', import.meta.url), 'utf8'),
) as { lookup: LookupRow[]; store: StoreRow[] }

describe('which requests the cache is asked for', () => {
  it.each(rows.lookup)('$id ($rfc)', ({ request, refused }) => {
    const { method = 'GET', headers = {} } = request
    const uri = request.uri === null ? undefined : 'http://a.test/p'
    expect(lookupRefusal({ method, uri, headers }) ?? null).toBe(refused)
  })
})

describe('which responses are stored, how long, and what later caches are told', () => {
  it.each(rows.store)('$id ($rfc)', (row) => {
    const { personal, hasCookie = false } = row.request ?? {}
    const visitor = personal === true ? { reason: 'personal' as const, hasCookie } : undefined
    const verdict = judgeResponse(
      {
        method: row.request?.method ?? 'GET',
        visitor,
      },
      { status: row.status ?? 200, headers: row.headers },
      { siteSeconds: 600, maxBodyBytes: 1_048_576, ...row.options },
      T,
    )
    const downstream =
      row.cacheControl === undefined
        ? undefined
        : {
            cacheControl: row.cacheControl,
            expires: row.expires === undefined ? undefined : formatHttpDate(T + row.expires * 1000),
          }
    expect(verdict).toEqual(
      row.refused === undefined
        ? {
            store: true,
            keepSeconds: row.keep,
            retention: {
              staleSeconds: 0,
              ifErrorSeconds: 0,
              whileRevalidateSeconds: 0,
              mayBeStale: true,
              ...row.retention,
            },
            isForAuthorized: row.public ?? false,
            mustValidate: false,
            ageSeconds: row.age ?? 0,
            vary: row.vary ?? [],
            isPublic: row.public ?? false,
            downstream,
          }
        : { store: false, reason: row.refused, downstream },
    )
  })

  it('has a row for every reason', () => {
    const reasons = new Set(rows.store.map(({ refused }) => refused).filter(Boolean))
    expect([...reasons].sort()).toEqual([
      'content-length',
      'content-range',
      'event-stream',
      'freshness-unreadable',
      'head',
      'no-cache',
      'no-freshness',
      'no-store',
      'personal',
      'private',
      'set-cookie',
      'stale',
      'status',
      'too-large',
      'trailers',
      'transfer-encoding',
      'vary-any',
      'vary-unreadable',
      'zero-seconds',
    ])
  })
})
