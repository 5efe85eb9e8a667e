import { once } from 'node:events'
import { connect } from 'node:net'
import type { Request } from 'express'
import {
  countingView,
  describeAttacks,
  meeting,
  SECRET,
  slowly,
  type Attack,
  type FreshView,
  type Target,
} from '../support/attacks.js'
import type { Answer } from '../support/express.js'
import { gate, pause } from '../support/waiting.js'

/** Alice's view takes its time; Bob asks meanwhile. Does he get what is hers? */
async function bobJoins(
  target: Target,
  alice: Record<string, string> = { 'X-User': 'alice' },
  bob: Record<string, string> = { 'X-User': 'bob' },
): Promise<boolean> {
  const [, answer] = await meeting(
    target,
    [alice, bob].map((headers) => () => target.site.get('/p', { headers })),
  )
  return JSON.stringify(answer).includes(SECRET)
}

/** What a request without anything special gets while the view answers another one. */
async function textAfter(
  target: Target,
  first: () => Promise<Answer | undefined>,
): Promise<string> {
  const answers = await meeting(target, [first, () => target.site.get('/p')])
  return answers[1]?.text ?? ''
}

/** How often the view runs for requests that come at once. */
async function runsTogether(target: Target, path: string, count = 5): Promise<number> {
  const requests = Array.from({ length: count }, () => () => target.site.get(path))
  const answers = await meeting(target, requests, false)
  return new Set(answers.map((answer) => answer?.text)).size
}

/** Each run of the view has a body of its own; some requests make it private. */
function sometimesPrivate(isPrivate: (req: Request) => boolean): FreshView {
  return countingView((run, req, res) => {
    if (isPrivate(req)) res.set('Cache-Control', 'private')
    slowly(() => res.end(`run ${run}`))
  })
}

/** One request makes the URL look private; is the view asked by everybody from then on? */
async function spoilsJoining(
  target: Target,
  spoil: (path: string) => Promise<Answer>,
): Promise<boolean> {
  await spoil('/p')
  return (await runsTogether(target, '/p')) > 1
}

describeAttacks(
  'answers for those who wait',
  [
    ...(
      [
        ['Cache-Control: private', { 'Cache-Control': 'private' }],
        ['Cache-Control: no-store', { 'Cache-Control': 'no-store' }],
        ['Set-Cookie', { 'Set-Cookie': 'sid=1' }],
        ['Vary: *', { Vary: '*' }],
        ['Vary: X-User', { Vary: 'X-User' }],
        ['a status that is not stored', { Status: '404' }],
      ] as const
    ).map(([what, headers]): Attack => ({
      name: `an answer with ${what}, handed to who waits for the same URL`,
      about: 'CVE-2026-94544',
      view: (req, res) =>
        slowly(() => {
          res.set(headers)
          if ('Status' in headers) res.status(Number(headers.Status))
          res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
        }),
      succeeds: bobJoins,
      naive: { joins: true },
    })),
    {
      name: 'an answer to a request with Authorization, handed to who waits without',
      about: 'CVE-2026-94544, CVE-2026-35193',
      view: (req, res) =>
        slowly(() => res.end(req.headers.authorization === undefined ? 'nothing' : SECRET)),
      succeeds: (target) => bobJoins(target, { Authorization: 'Basic alice' }, {}),
      naive: { joins: true },
    },
    {
      name: 'an answer for nobody, handed to who waits with Authorization',
      about: 'CVE-2026-94544, CVE-2026-35193',
      view: (req, res) =>
        slowly(() => res.end(req.headers.authorization === undefined ? SECRET : 'nothing')),
      succeeds: (target) => bobJoins(target, {}, { Authorization: 'Basic bob' }),
      naive: { joins: true },
    },
    {
      name: 'an answer for a signed-in visitor, handed to who waits',
      about: 'CVE-2026-94544',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          if (req.headers['x-user'] === 'alice') Object.assign(req, { user: 'alice' })
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) =>
        slowly(() => res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')),
      succeeds: bobJoins,
      naive: { joins: true },
    },
    {
      name: 'an answer for nobody, handed to a signed-in visitor who waits',
      about: 'CVE-2026-94544',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          if (req.headers['x-user'] === 'bob') Object.assign(req, { user: 'bob' })
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) =>
        slowly(() => res.end(req.headers['x-user'] === 'bob' ? 'for bob' : SECRET)),
      succeeds: bobJoins,
      naive: { joins: true },
    },
    {
      name: 'an answer that a session around the cache makes one visitor’s, handed to who waits',
      about: 'CVE-2026-94544: the cookie is set when the view has answered',
      layers: (app, cache, view) => {
        app.use((req, res, next) => {
          const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => typeof res
          res.writeHead = (...args: unknown[]) => {
            if (req.headers['x-user'] === 'alice') res.setHeader('Set-Cookie', 'sid=alice')
            return writeHead(...args)
          }
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) =>
        slowly(() => res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')),
      succeeds: bobJoins,
      naive: { joins: true },
    },
    {
      name: 'an answer to a request for a part, handed to who waits for the whole',
      about: 'RFC 9111 §3.3',
      view: (req, res) =>
        slowly(() => res.end('the whole'.slice(0, req.headers.range === undefined ? 9 : 3))),
      succeeds: async (target) => {
        const part = () => target.site.get('/p', { headers: { Range: 'bytes=0-2' } })
        return (await textAfter(target, part)) !== 'the whole'
      },
      naive: { joins: true },
    },
    {
      name: "HEAD's answer, handed to who waits for GET's",
      about: 'a HEAD that fills GET',
      view: (req, res) => slowly(() => res.end(req.method === 'HEAD' ? '' : 'body')),
      succeeds: async (target) => {
        const head = () => target.site.get('/p', { method: 'HEAD' })
        return (await textAfter(target, head)) !== 'body'
      },
      naive: { joins: true },
    },
    {
      name: "POST's answer, handed to who waits for GET's",
      about: 'CVE-2026-85008',
      view: (req, res) => slowly(() => res.end(`${req.method} answer`)),
      succeeds: async (target) => {
        const post = () => target.site.get('/p', { method: 'POST' })
        return (await textAfter(target, post)) !== 'GET answer'
      },
      naive: { joins: true },
    },
    {
      name: 'a 304 for one client, handed to who waits without a copy',
      about: 'RFC 9111 §4.3: it answers the condition of another',
      view: (req, res) =>
        slowly(() => {
          res.set('ETag', '"1"')
          if (req.headers['if-none-match'] === '"1"') res.status(304).end()
          else res.end('the whole')
        }),
      succeeds: async (target) => {
        const alice = () => target.site.get('/p', { headers: { 'If-None-Match': '"1"' } })
        return (await textAfter(target, alice)) !== 'the whole'
      },
      naive: { joins: true },
    },
    {
      name: 'an error that one request provokes, handed to who waits',
      about: 'CPDoS by joining',
      view: (req, res) =>
        slowly(() => {
          if (req.headers['x-odd'] === undefined) res.end('fine')
          else res.status(500).end('broken')
        }),
      succeeds: async (target) => {
        const odd = () => target.site.get('/p', { headers: { 'X-Odd': '1' } })
        return (await textAfter(target, odd)) !== 'fine'
      },
      naive: { joins: true },
    },
    {
      name: 'half an answer, handed to who waits when its client has gone',
      about: 'RFC 9112 §8',
      view: (req, res) => {
        res.write('the ')
        if (req.headers['x-odd'] === undefined) slowly(() => res.end('whole'))
        else slowly(() => req.socket.destroy())
      },
      succeeds: async (target) => {
        const odd = () =>
          target.site.get('/p', { headers: { 'X-Odd': '1' } }).catch(() => undefined)
        return (await textAfter(target, odd)) !== 'the whole'
      },
      naive: { joins: true },
    },
    {
      name: 'a handler that one request makes hang, for all who wait',
      about: 'waiting is bounded',
      options: { waitSeconds: 0.05 },
      view: {
        make: () => {
          const { opened, open } = gate()
          return (req, res) => {
            if (req.path === '/open') open()
            if (req.headers['x-odd'] === undefined) return res.end('fine')
            return opened.then(() => res.end('at last'))
          }
        },
      },
      succeeds: async ({ site }) => {
        const odd = site.get('/p', { headers: { 'X-Odd': '1' } })
        await once(site.server, 'request')
        const waits = site.get('/p')
        const answer = await Promise.race([waits, pause(5000)])
        await site.get('/open')
        await Promise.all([odd, waits])
        return answer?.text !== 'fine'
      },
      naive: { joins: true },
    },
    ...(
      [
        ['Authorization', { Authorization: 'Basic eve' }],
        ['Range', { Range: 'bytes=0-' }],
        ['a body', { 'Content-Length': '4' }],
      ] as const
    ).map(([what, headers]): Attack => ({
      name: `one private answer to a request with ${what}, after which nobody waits for another`,
      about: 'the memory of what is not worth waiting for is not for anybody to write',
      view: sometimesPrivate(
        ({ headers: sent }) =>
          sent.authorization !== undefined ||
          sent.range !== undefined ||
          sent['content-length'] !== undefined,
      ),
      succeeds: (target) =>
        spoilsJoining(target, (path) =>
          target.site.get(path, { headers, ...('Content-Length' in headers && { body: 'evil' }) }),
        ),
      naive: { joins: true, marks: true, sparesPrivate: true },
    })),
    {
      name: 'one private answer to POST, after which nobody waits for another',
      about: 'the memory of what is not worth waiting for is not for anybody to write',
      view: sometimesPrivate(({ method }) => method === 'POST'),
      succeeds: (target) =>
        spoilsJoining(target, (path) => target.site.get(path, { method: 'POST' })),
      naive: { joins: true, marks: true, sparesPrivate: true },
    },
    {
      name: 'one private answer to a signed-in visitor, after which nobody waits for another',
      about: 'the memory of what is not worth waiting for is not for anybody to write',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          if (req.headers['x-user'] !== undefined) Object.assign(req, { user: 'eve' })
          next()
        })
        app.use(cache, view)
      },
      view: sometimesPrivate(({ headers }) => headers['x-user'] !== undefined),
      succeeds: (target) =>
        spoilsJoining(target, (path) => target.site.get(path, { headers: { 'X-User': 'eve' } })),
      naive: { joins: true, marks: true, sparesPrivate: true },
    },
    ...(
      [
        ['Sec-Purpose', 'prefetch'],
        ['Origin', 'https://evil.test'],
      ] as const
    ).map(([name, value]): Attack => ({
      name: `one private answer to ${name}: ${value}, after which nobody waits for another`,
      about: 'the memory of what is not worth waiting for is not for anybody to write',
      view: sometimesPrivate(({ headers }) => headers[name.toLowerCase()] === value),
      succeeds: (target) =>
        spoilsJoining(target, (path) => target.site.get(path, { headers: { [name]: value } })),
      naive: { joins: true, marks: true, sparesPrivate: true },
    })),
    {
      name: 'one private answer to another Accept, after which nobody waits for another',
      about: 'the memory of what is not worth waiting for is not for anybody to write',
      view: countingView((run, _req, res) =>
        res.format({
          'text/html': () => slowly(() => res.end(`run ${run}`)),
          'application/json': () => res.set('Cache-Control', 'private').end('{}'),
        }),
      ),
      succeeds: (target) =>
        spoilsJoining(target, (path) =>
          target.site.get(path, { headers: { Accept: 'application/json' } }),
        ),
      naive: { joins: true, marks: true, sparesPrivate: true },
    },
    {
      name: 'a client that reads nothing, and for whom all wait',
      about: 'an answer is there when the view has made it, not when its client has read it',
      options: { maxBodyBytes: 10_000_000 },
      view: countingView((run, _req, res) =>
        slowly(() => res.end(`run ${run} ${'x'.repeat(8_000_000)}`)),
      ),
      succeeds: async ({ site }) => {
        const socket = connect(site.port, '127.0.0.1')
        socket.write('GET /p HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
        socket.pause()
        await once(site.server, 'request')
        const waits = site.get('/p', { headers: { Host: '127.0.0.1' } })
        const answer = await Promise.race([waits, pause(5000)])
        socket.destroy()
        await waits
        return answer === undefined
      },
      naive: { joins: true, joinsLate: true },
    },
    {
      name: 'fifty requests at once, each of which runs the view',
      about: 'a stampede',
      view: countingView((run, _req, res) => slowly(() => res.end(`run ${run}`))),
      succeeds: async (target) => (await runsTogether(target, '/p', 50)) > 1,
    },
  ],
  { later: true },
)
