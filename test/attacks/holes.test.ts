import { gunzipSync } from 'node:zlib'
import type { Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import onHeaders from 'on-headers'
import {
  bobGetsSecret,
  countingView,
  describeAttacks,
  meeting,
  SECRET,
  slowly,
  type Attack,
  type Target,
} from '../support/attacks.js'
import type { Answer } from '../support/express.js'
import { TinyEngine, type TinyTemplate, type Variables } from '../support/tiny-engine.js'
import { pause } from '../support/waiting.js'

const ALICE = { 'X-User': 'alice' }
const BOB = { 'X-User': 'bob' }

const secretOf = ({ user }: Variables): string =>
  user === 'alice' ? SECRET : `nothing, ${String(user)}`
const userOf = (req: Request): string => req.get('X-User') ?? 'nobody'

const holes: TinyTemplate['holes'] = {
  secret: (it) => {
    const { aside } = it as { aside?: () => unknown }
    aside?.()
    return secretOf(it)
  },
}

const engine = new TinyEngine({
  page: { body: async ({ text }, hole) => `<p>${String(text)}</p>${hole('secret')}`, holes },
  layout: { body: async ({ body }) => `<html>${String(body)}</html>` },
  'layout-with-hole': {
    body: async ({ body }, hole) => `<html>${String(body)}${hole('secret')}</html>`,
    holes: { secret: () => 'for everybody' },
  },
})

/** What a cache in front obeys rather than `Cache-Control`. */
const TARGETED = [
  'CDN-Cache-Control',
  'Cloudflare-CDN-Cache-Control',
  'Edge-Control',
  'Netlify-CDN-Cache-Control',
  'Surrogate-Control',
  'Vercel-CDN-Cache-Control',
  'X-Accel-Expires',
  'X-LiteSpeed-Cache-Control',
]

/** What the view gives, a cache without holes keeps. */
function renderFor(req: Request, res: Response, text = 'the page'): void {
  res.render('page', { user: userOf(req), text })
}

interface HoleAttack extends Omit<Attack, 'layers' | 'options' | 'view'> {
  readonly options?: ResponseCacheOptions
  readonly view?: Attack['view']
  /** What a hole does besides. */
  readonly aside?: (req: Request, res: Response) => unknown
  /** What the context of the holes does besides. */
  readonly before?: (req: Request, res: Response) => unknown
}

function attack({ options, aside, before, view, ...rest }: HoleAttack): Attack {
  return {
    ...rest,
    view:
      view ??
      ((req, res) => {
        res.locals['aside'] = () => aside?.(req, res)
        renderFor(req, res)
      }),
    options: {
      ...options,
      holes: {
        engines: [engine],
        context: async (req, res) => {
          await Promise.resolve()
          before?.(req, res)
          return { user: userOf(req), aside: () => aside?.(req, res) }
        },
      },
    },
    layers: (app, cache, handler) => {
      engine.install(app)
      app.use(cache, handler)
    },
  }
}

async function alice({ site }: Target, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await site.get('/p', { headers: { ...ALICE, ...headers } })
  // What is stored is stored a moment later.
  await pause(10)
  return answer
}

async function bob({ site }: Target, headers: Record<string, string> = {}): Promise<Answer> {
  return site.get('/p', { headers: { ...BOB, ...headers } })
}

/** Whether an answer holds, anywhere, what is Alice's. */
function hasSecret(answer: Answer): boolean {
  const isGzip = answer.headers['content-encoding'] === 'gzip'
  const text = isGzip ? gunzipSync(answer.body).toString() : answer.text
  return `${JSON.stringify(answer.headers)}${text}`.includes(SECRET)
}

const layouts = ['layout', 'layout-with-hole'].map((layout) =>
  attack({
    name: `a filled text that became a part of another one, by the template ${layout}`,
    about: 'only what is not filled may be kept',
    view: (req, res) => {
      res.render('page', { user: userOf(req) }, (_error, body) => res.render(layout, { body }))
    },
    succeeds: async (target) => {
      await alice(target)
      return hasSecret(await bob(target))
    },
  }),
)

describeAttacks(
  'holes in pages',
  [
    attack({
      name: 'what filled a hole for one visitor, for the next',
      about: 'a hole is filled for each visitor again',
      succeeds: bobGetsSecret,
    }),
    attack({
      name: 'what filled a hole, once it was found and filled many times',
      about: 'what is remembered of pages is what is stored',
      succeeds: async (target) => {
        let got = false
        for (let i = 0; i < 5; i++) {
          await alice(target)
          got ||= hasSecret(await bob(target))
        }
        return got
      },
    }),
    attack({
      name: 'what filled a hole for the first, for those who wait for the page',
      about: 'CVE-2026-94544: who waits gets what the first one got',
      view: (req, res) => slowly(() => renderFor(req, res)),
      succeeds: async (target) => {
        const users: Record<string, string>[] = [ALICE, BOB, {}]
        const answers = await meeting(
          target,
          users.map((headers) => () => target.site.get('/p', { headers })),
        )
        return answers.slice(1).some((answer) => answer !== undefined && hasSecret(answer))
      },
      naive: { joins: true },
    }),
    attack({
      name: 'parts of a page that was filled for another',
      about: 'RFC 9110 §14.2: a part is cut from what is stored',
      succeeds: async (target) => {
        await alice(target)
        const answer = await bob(target, { Range: 'bytes=0-' })
        return hasSecret(answer) || answer.status === 206
      },
      naive: { ranges: true },
    }),
    attack({
      name: 'a validator that is made of what filled the holes',
      about: 'an ETag tells whether two visitors were told the same',
      succeeds: async (target) => {
        const { headers } = await alice(target)
        const { etag } = (await bob(target)).headers
        return etag !== undefined && etag === headers.etag
      },
    }),
    attack({
      name: 'a 304 that makes of the copy of another page the right one',
      about: 'RFC 9111 §4.3.2',
      view: (req, res) => {
        res.set('ETag', '"edition"')
        renderFor(req, res)
      },
      succeeds: async (target) => {
        await alice(target)
        const { status, headers } = await bob(target, { 'If-None-Match': '"edition"' })
        return status === 304 || headers.etag !== undefined
      },
    }),
    attack({
      name: 'a page that the view says is right still, with what filled it before',
      about: 'RFC 9111 §4.3.4: a 304 freshens what is stored',
      view: (req, res) => {
        res.set('ETag', '"edition"')
        if (req.headers['if-none-match'] === '"edition"') res.status(304).end()
        else renderFor(req, res)
      },
      succeeds: async (target) => {
        await alice(target)
        target.advance(601)
        return hasSecret(await bob(target)) || hasSecret(await bob(target))
      },
      naive: { seconds: 600, revalidates: true },
    }),
    attack({
      name: 'a filled page in a cache behind',
      about: 'RFC 9111 §5.2.2.7: only private keeps it out there',
      succeeds: async (target) => {
        const answers = [await alice(target), await bob(target)]
        return !answers.every(({ headers }) => {
          const said = headers['cache-control'] ?? ''
          return /\bprivate\b/.test(said) && /\bno-cache\b/.test(said) && !/max-age/.test(said)
        })
      },
    }),
    attack({
      name: 'a filled page in a cache behind, which the view wants there',
      about: 'RFC 9213: what is for CDNs wins over Cache-Control',
      view: (req, res) => {
        for (const name of TARGETED) res.set(name, 'max-age=60')
        res.set('Cache-Control', 'public, max-age=60, s-maxage=60').set('Expires', '0')
        renderFor(req, res)
      },
      succeeds: async (target) => {
        const answers = [await alice(target), await bob(target)]
        return answers.some(({ headers }) => {
          const names = [...TARGETED, 'Expires'].map((name) => name.toLowerCase())
          return (
            names.some((name) => name in headers) ||
            /public|s-max/.test(headers['cache-control'] ?? '')
          )
        })
      },
    }),
    attack({
      name: 'compressed copies of a page that was filled for another',
      about: 'a compressed copy is stored beside the page',
      options: { precompress: ['gzip'] },
      view: (req, res) => renderFor(req, res, 'x'.repeat(4096)),
      succeeds: async (target) => {
        await alice(target)
        const gzip = { 'Accept-Encoding': 'gzip' }
        return hasSecret(await bob(target, gzip)) || hasSecret(await bob(target, gzip))
      },
    }),
    attack({
      name: 'what filled a page that is served past its time, and what made it again',
      about: 'RFC 5861 §3: the run in the background is one visitor’s',
      options: { staleWhileRevalidate: 60 },
      succeeds: async (target) => {
        await bob(target)
        await pause(10)
        target.advance(601)
        await alice(target)
        await pause(60)
        return hasSecret(await bob(target)) || hasSecret(await target.site.get('/p'))
      },
      naive: { seconds: 600 },
    }),
    attack({
      name: 'what filled a page that stands in for a view that fails',
      about: 'RFC 5861 §4',
      options: { staleIfError: 60 },
      view: countingView((run, req, res) => {
        if (run === 1) renderFor(req, res)
        else res.status(500).end('failed')
      }),
      succeeds: async (target) => {
        await alice(target)
        target.advance(601)
        await bob(target)
        return hasSecret(await bob(target))
      },
      naive: { seconds: 600, staleIfError: true },
    }),
    attack({
      name: 'how long a page is that was filled for another, by HEAD',
      about: 'RFC 9110 §9.3.2',
      succeeds: async (target) => {
        const { headers } = await alice(target)
        const head = await target.site.get('/p', { method: 'HEAD', headers: BOB })
        return head.headers['content-length'] === headers['content-length']
      },
    }),
    attack({
      name: 'a header that came with what filled a hole',
      about: 'a token is sent in a header too',
      aside: (req, res) => res.set('X-Csrf-Token', secretOf({ user: userOf(req) })),
      succeeds: async (target) => {
        await alice(target)
        return (await bob(target)).headers['x-csrf-token'] !== 'nothing, bob'
      },
    }),
    ...[true, false].map((hasHole) =>
      attack({
        name: `a header that came with the context of holes, of a page with ${hasHole ? 'one' : 'none'}`,
        about: 'a token is sent in a header too',
        before: (req, res) => res.set('X-Csrf-Token', secretOf({ user: userOf(req) })),
        view: (req, res) => {
          setImmediate(() => {
            // Where there are no holes the view does it.
            const token = secretOf({ user: userOf(req) })
            if (!res.hasHeader('X-Csrf-Token')) res.set('X-Csrf-Token', token)
            res.render(hasHole ? 'page' : 'layout', { user: 'nobody', body: '' })
          })
        },
        succeeds: async (target) => {
          await alice(target)
          return hasSecret(await bob(target))
        },
      }),
    ),
    ...[{}, { rfc9111: true }].flatMap((options) =>
      ['max-age=600', 'public, max-age=600'].map((said) =>
        attack({
          name: `a cookie that came with what filled a hole, of ${said} and ${JSON.stringify(options)}`,
          about: 'CVE-2014-0473: the other half of a token is in a cookie',
          options,
          aside: (req, res) =>
            res.append('Set-Cookie', `csrf=${secretOf({ user: userOf(req) })}; Path=/`),
          view: (req, res) => {
            const token = () => secretOf({ user: userOf(req) })
            res.locals['aside'] = () => res.append('Set-Cookie', `csrf=${token()}; Path=/`)
            res.set('Cache-Control', said)
            renderFor(req, res)
          },
          succeeds: async (target) => {
            const own = await alice(target)
            const other = await bob(target)
            const isBobs = other.headers['set-cookie']?.join() === 'csrf=nothing, bob; Path=/'
            return (
              !isBobs || !hasSecret(own) || !/^private/.test(own.headers['cache-control'] ?? '')
            )
          },
        }),
      ),
    ),
    {
      name: 'a page that an inner cache filled, in the outer page for all',
      about: 'CVE-2026-103004: what is found inside is lost to the outside',
      layers: (app, cache, handler) => {
        engine.install(app)
        const inner = responseCache(createCaches({ default: new LocMemCache() }), {
          holes: { engines: [engine], context: (req) => ({ user: userOf(req) }) },
        })
        app.use(cache, inner.cachePage(60), handler)
      },
      view: (req, res) => renderFor(req, res),
      succeeds: async (target) => {
        await alice(target)
        if (hasSecret(await bob(target))) return true
        // The inner page is found now, and what is around has nothing yet.
        await target.invalidate('/p')
        await alice(target)
        return hasSecret(await bob(target))
      },
    },
    {
      ...attack({
        name: 'a filled page that a layer around says is everybody’s, made, found and past its time',
        about: 'what a layer says of every response it cannot know of this one',
        options: { staleIfError: 60 },
        view: countingView((run, req, res) => {
          if (run === 1) renderFor(req, res)
          else res.status(500).end('failed')
        }),
        succeeds: async (target) => {
          const answers = [await alice(target), await bob(target)]
          target.advance(601)
          answers.push(await bob(target))
          return answers.some(({ status, headers }) => {
            const said = headers['cache-control'] ?? ''
            return status === 200 && (/public|max-age/.test(said) || 'cdn-cache-control' in headers)
          })
        },
      }),
      layers: (app, cache, handler) => {
        engine.install(app)
        const speak: RequestHandler = (_req, res, next) => {
          onHeaders(res, () => {
            res.set({ 'Cache-Control': 'public, max-age=60', 'CDN-Cache-Control': 'max-age=60' })
          })
          next()
        }
        app.use(speak, cache, handler)
      },
    },
    ...layouts,
    attack({
      name: 'a filled text that something was added to',
      about: 'only what is not filled may be kept',
      view: (req, res) => {
        res.render('page', { user: userOf(req) }, (_error, body) => res.send(`${body}<!-- -->`))
      },
      succeeds: async (target) => {
        await alice(target)
        return hasSecret(await bob(target))
      },
    }),
    attack({
      name: 'a filled text that was written in other bytes',
      about: 'only what is not filled may be kept',
      view: (req, res) => {
        res.render('page', { user: userOf(req) }, (_error, body) => {
          res.end(`${body}é`, 'latin1')
        })
      },
      succeeds: async (target) => {
        await alice(target)
        return hasSecret(await bob(target))
      },
    }),
  ],
  { inHalves: true, later: true },
)
