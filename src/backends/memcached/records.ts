import type { Connection } from './connection.js'
import {
  advance,
  GENERATIONS_KEY,
  newGenerations,
  parseGenerations,
  type Generations,
} from './generations.js'
import { VALUE_AND_TOKEN, type Item, type Request, type StoreReply } from './request.js'

/** How often what depends on an entry is tried again when another writer was faster. */
export const MAX_CONFLICTS = 10_000

/** Moves namespaces of a server to their next generation. @returns The new record. */
export function clearNamespaces(
  connection: Connection,
  known: Generations | undefined,
  namespaces: readonly string[],
): Promise<Generations> {
  return changeRecord(connection, (record) => advance(record ?? newGenerations(known), namespaces))
}

/** Changes the record of a server, also against other processes. */
export async function changeRecord(
  connection: Connection,
  change: (record: Generations | undefined) => Generations,
): Promise<Generations> {
  for (let i = 0; i < MAX_CONFLICTS; i++) {
    const item = await ask<Item | undefined>(connection, (done) => ({
      type: 'get',
      key: GENERATIONS_KEY,
      wish: VALUE_AND_TOKEN,
      done,
    }))
    const known = item && parseGenerations(item.value.toString('latin1'))
    const wanted = change(known)
    if (wanted === known) return wanted
    if (item !== undefined) checkToken(item.cas)
    const reply = await ask<StoreReply | undefined>(connection, (done) => ({
      type: 'store',
      mode: item === undefined ? 'add' : 'cas',
      key: GENERATIONS_KEY,
      value: Buffer.from(wanted.text, 'latin1'),
      flags: 0,
      exptime: 0,
      cas: item?.cas ?? '0',
      done,
    }))
    if (reply === 'stored') return wanted
  }
  throw tooManyConflicts()
}

/** Sends a command. @returns What it is answered. */
export function ask<Reply>(
  connection: Connection,
  request: (done: (error: Error | undefined, reply: Reply) => void) => Request,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    connection.send(request(settled(resolve, reject)))
  })
}

/** The callback of a request as the two ends of a promise. */
export function settled<Reply>(
  resolve: (reply: Reply) => void,
  reject: (error: Error) => void,
): (error: Error | undefined, reply: Reply) => void {
  return (error, reply) => {
    if (error === undefined) resolve(reply)
    else reject(error)
  }
}

/** @throws Error: the server tells no tokens. */
export function checkToken(cas: string | undefined): void {
  if (cas !== undefined && cas !== '0') return
  throw new Error(
    'the server runs with -C (--disable-cas), so that writes with a condition cannot be atomic; start it without',
  )
}

export function tooManyConflicts(): Error {
  return new Error('other writers were always faster')
}
