import { channel } from 'node:diagnostics_channel'

/** What somebody did, or tried to do, by the inspector. */
export type AuditAction = 'delete' | 'invalidate' | 'clear' | 'reset'

/** A message on the channel `fragcache:audit`: an action of the inspector, also one that failed. */
export interface AuditMessage {
  readonly action: AuditAction
  /** The cache it was for; left out where it was for none or for all. */
  readonly alias?: string
  /** The key, the fragment, tag or URL; empty for what has none. Never a value. */
  readonly target: string
  /** Milliseconds since the epoch. */
  readonly atMs: number
  /** Whether it was done. */
  readonly ok: boolean
  /** Why not. */
  readonly error?: string
  /** The client's address, as Express derives it under its `trust proxy`. */
  readonly ip?: string
  /** What the option `user` says. */
  readonly user?: string
}

export const AUDIT_CHANNEL = 'fragcache:audit'

export const auditChannel = channel(AUDIT_CHANNEL)
