import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The user and the group that a server's files belong to. */
export interface Ids {
  readonly uid: number
  readonly gid: number
}

/**
 * The ids of a user of this machine.
 *
 * @returns `undefined` where this process is not root: then everything is its own.
 */
export async function idsOf(user: string): Promise<Ids | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const [uid, gid] = await Promise.all(['-u', '-g'].map((what) => run('id', [what, user])))
  return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
}

/** For `startServer`: which user the server runs as, if it is to be another. */
export function ownerOf(user: string, ids: Ids | undefined): { readonly user?: string } {
  return ids === undefined ? {} : { user }
}
