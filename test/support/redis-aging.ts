import type { Redis } from 'ioredis'
import type { Redis as Redis5 } from 'ioredis5'

/**
 * Lets time pass for a Redis server: moves the deadlines of the keys of the db that match. Real time passes
 * besides, and the server's clock stays what it is.
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
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if left <= tonumber(ARGV[1]) then redis.call('UNLINK', key)
    else redis.call('PEXPIRE', key, left - ARGV[1]) end
  end
end`
