import type { Redis } from 'ioredis'
import type { Redis as Redis5 } from 'ioredis5'

/**
 * Lets time pass for a Redis server: moves the deadlines of the keys of the db that match, and the ends of
 * their freshness in what is stored. Real time passes besides, and the server's clock stays what it is.
 */
export async function ageKeys(
  control: Redis | Redis5,
  seconds: number,
  pattern = '*',
): Promise<void> {
  await control.eval(AGE, 0, Math.ceil(seconds * 1000), pattern)
}

const AGE = `
for _, key in ipairs(redis.call('KEYS', ARGV[2])) do
  local value = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) or ''
  if string.byte(value) == 5 then
    local aged = string.gsub(value, '"=","(%d+) ', function(freshUntil)
      return string.format('"=","%.0f ', freshUntil - ARGV[1])
    end)
    if aged ~= value then redis.call('SET', key, aged, 'KEEPTTL') end
  end
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if left <= tonumber(ARGV[1]) then redis.call('UNLINK', key)
    else redis.call('PEXPIRE', key, left - ARGV[1]) end
  end
end`
