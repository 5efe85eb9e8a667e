import { createHash } from 'node:crypto'
import type { Argument } from './client.js'
import type { Command, Link } from './link.js'

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

/** What has to lie under a key for it to be written: nothing, exactly a payload, or either. */
export type WriteCondition = 'absent' | 'same' | 'either'

/**
 * Writes entries, each by itself. For each there are four ARGV: the condition, what has to be there, the payload, and
 * the milliseconds to live, 0 for ever. Gives for each 1 if it did, 0 if its condition is not met, or its error.
 */
export const WRITE = script(`
local function write(key, condition, old, payload, timeout)
  if condition ~= 'absent' then
    local found = redis.pcall('GET', key)
    if found then
      if found.err then return found.err end
      if found ~= old then return 0 end
    elseif condition == 'same' then
      return 0
    end
  end
  local set = {'SET', key, payload}
  if timeout ~= '0' then set[4], set[5] = 'PX', timeout end
  if condition == 'absent' then set[#set + 1] = 'NX' end
  local reply = redis.pcall(unpack(set))
  if not reply then return 0 end
  return reply.err or 1
end
local outcomes = {}
for i, key in ipairs(KEYS) do
  local last = 4 * i
  outcomes[i] = write(key, ARGV[last - 3], ARGV[last - 2], ARGV[last - 1], ARGV[last])
end
return outcomes
`)

/**
 * Runs a script by its digest; the whole text goes only to a server that does not know it yet.
 *
 * @param keys - They and the arguments may become more until the command is sent.
 */
export function run(
  link: Link,
  { lua, sha1 }: Script,
  keys: readonly string[],
  args: readonly Argument[],
  resolve: Command['resolve'],
  reject: Command['reject'],
): Command {
  const argumentsFor = (text: string) => () => [text, keys.length, keys, args]
  return link.sendCommand('evalsha', argumentsFor(sha1), resolve, (error) => {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) reject(error)
    else link.sendCommand('eval', argumentsFor(lua), resolve, reject)
  })
}
