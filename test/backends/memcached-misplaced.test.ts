import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { sharedServer, startProxy, type Proxy } from '../support/servers.js'

const isThere = (await sharedServer('memcached')) !== undefined

type Speech = 'meta' | 'classic' | 'binary'

/** Cuts what a server sent at once into its answers; what is left over of one stays together. */
function answersOf(speech: Speech, sent: Buffer): Buffer[] {
  const answers: Buffer[] = []
  let start = 0
  while (start < sent.length) {
    const end = Math.min(sent.length, endOfAnswer(speech, sent, start))
    answers.push(sent.subarray(start, end))
    start = end
  }
  return answers
}

function endOfAnswer(speech: Speech, sent: Buffer, start: number): number {
  if (speech === 'binary') {
    return start + 24 + (start + 12 <= sent.length ? sent.readUInt32BE(start + 8) : 0)
  }
  const line = sent.indexOf('\r\n', start)
  if (line === -1) return sent.length
  // A read of several keys is answered by several values.
  if (sent.toString('latin1', start, line).startsWith('VALUE')) {
    const end = sent.indexOf('\r\nEND\r\n', start)
    return end === -1 ? sent.length : end + '\r\nEND\r\n'.length
  }
  const words = sent.toString('latin1', start, line).split(' ')
  if (words[0] === 'VA') return line + 2 + Number(words[1]) + 2
  return line + 2
}

type Fault = (answers: Buffer[], place: number) => void

const faults: [string, Fault][] = [
  ['come twice', (answers, place) => void answers.splice(place, 0, answers[place] as Buffer)],
  ['are lost', (answers, place) => void answers.splice(place, 1)],
  [
    'change places',
    (answers, place) => void answers.splice(place, 0, ...answers.splice(place + 1, 1)),
  ],
]

describe.skipIf(!isThere).each<Speech>(['meta', 'classic', 'binary'])(
  'answers to %s commands that',
  (protocol) => {
    // So long that no command reads more than eight.
    const long = 'k'.repeat(200)
    const keys = Array.from({ length: 60 }, (_, i) => `misplaced-${protocol}-${long}-${i}`)
    let proxy: Proxy
    let cache: MemcachedCache

    beforeAll(async () => {
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      const { url = '' } = (await sharedServer('memcached')) ?? {}
      proxy = await startProxy({ port: Number(url.split(':')[1]) })
      const location = `127.0.0.1:${proxy.port}`
      cache = new MemcachedCache({ location, keyPrefix: 'misplaced', options: { protocol } })
      for (const key of keys) await cache.set(key, `of ${key}`)
    })
    afterAll(async () => {
      await cache.close()
      await proxy.close()
      vi.restoreAllMocks()
    })

    it.each(faults)('%s never give a key the value of another', async (_, how) => {
      const foreign: unknown[] = []
      for (let round = 0; round < 8; round++) {
        let isDone = false
        proxy.tamper = (sent) => {
          const answers = answersOf(protocol, sent)
          // Something comes behind it: at the end nothing is misplaced yet.
          if (isDone || answers.length < 5) return sent
          isDone = true
          how(answers, 1 + (round % (answers.length - 3)))
          return Buffer.concat(answers)
        }
        // The server may send fewer answers at once.
        while (!isDone) {
          const answers = await Promise.allSettled(keys.map((key) => cache.get(key)))
          answers.forEach((answer, i) => {
            if (answer.status === 'rejected') {
              expect(answer.reason).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
            } else if (answer.value !== `of ${keys[i]}`) foreign.push([keys[i], answer.value])
          })
        }
        proxy.tamper = undefined
        // The connection on which it happened is gone, and with it what was out of step.
        await vi.waitFor(async () => {
          const values = await Promise.all(keys.map((key) => cache.get(key)))
          for (const [i, value] of values.entries()) {
            if (value !== `of ${keys[i]}`) foreign.push([keys[i], value])
          }
        }, 5000)
      }
      expect(foreign).toEqual([])
    })
  },
)
