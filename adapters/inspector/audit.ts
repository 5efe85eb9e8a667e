import { channel } from 'node:diagnostics_channel'

/** What somebody did, or tried to do, with the inspector. */
export type AuditAction = 'delete' | 'invalidate' | 'clear' | 'reset'

/**
 * A message on the channel `fragcache:audit`: an action of the inspector, including failed ones.
 */
export interface AuditMessage {
  readonly action: AuditAction
  /** The cache concerned. Absent if it is none, or all. */
  readonly alias?: string
  /** The key, fragment, tag or URL. Empty for an action without one. Never a value. */
  readonly target: string
  /** Milliseconds since the epoch. */
  readonly atMs: number
  /** Whether the action succeeded. */
  readonly ok: boolean
  /** Why it failed. */
  readonly error?: string
  /** The client's address, as Express derives it from its setting `trust proxy`. */
  readonly ip?: string
  /** What the option `user` returned. */
  readonly user?: string
}

export const AUDIT_CHANNEL = 'fragcache:audit'

export const auditChannel = channel(AUDIT_CHANNEL)
