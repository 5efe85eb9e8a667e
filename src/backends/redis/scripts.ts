import { createHash } from 'node:crypto'
import type { Argument, Reply } from './client.js'
import type { Link } from './link.js'

/** A script the server runs as one step. */
export interface Script {
  readonly lua: string
  readonly sha1: string
}

function script(lua: string): Script {
  return { lua, sha1: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Adds to a raw whole number, keeping its deadline. Gives the sum; nothing if there is no entry; `x`
 * if it is no raw whole number; `o` and the number if the sum would be out of range. Beyond 2^53 a
 * sum of doubles may be wrong, but never small enough to pass.
 */
export const INCREMENT = script(`
local most = 9007199254740991
local text = redis.call('GET', KEYS[1])
if not text then return false end
if #text > 17 or not (text == '0' or string.match(text, '^%-?[1-9][0-9]*$')) then return 'x' end
local value = tonumber(text)
if value > most or value < -most then return 'x' end
local sum = value + tonumber(ARGV[1])
if sum > most or sum < -most then return 'o' .. text end
redis.call('INCRBY', KEYS[1], ARGV[1])
return string.format('%.0f', sum)
`)

/**
 * Writes ARGV[2] if what is there is exactly ARGV[1], or nothing is and ARGV[3] is 1; with ARGV[4]
 * milliseconds to live, 0 for ever. Gives 1 if it did.
 */
export const REPLACE = script(`
local old = redis.call('GET', KEYS[1])
if old then
  if old ~= ARGV[1] then return 0 end
elseif ARGV[3] ~= '1' then
  return 0
end
if ARGV[4] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
end
return 1
`)

/** Runs a script by its digest; the whole text goes only to a server that does not know it yet. */
export async function run(
  link: Link,
  { lua, sha1 }: Script,
  key: string,
  args: readonly Argument[],
): Promise<Reply> {
  try {
    return await link.command('evalsha', sha1, 1, key, ...args)
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
    return link.command('eval', lua, 1, key, ...args)
  }
}
