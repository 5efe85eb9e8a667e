import { countingView, describeAttacks, type Attack, type FreshView } from '../support/attacks.js'

const GOOD = { Host: 'good.test' }
const EVIL = { Host: 'evil.test' }

/** Answers with what the request itself names; pages say which run of the view made them. */
const OBLIGING: FreshView = countingView((run, req, res) => {
  const named = new URL(req.originalUrl, 'http://any.test').searchParams
  if (req.method === 'GET') return res.end(`run ${run}`)
  for (const name of ['Location', 'Content-Location']) {
    const target = named.get(name.toLowerCase())
    if (target !== null) res.setHeader(name, target)
  }
  return res.status(Number(req.get('x-status') ?? '201')).end()
})

const FLUSHING = { flushes: true } as const

/** The page is there; somebody sends this; does its view have to run again? */
function drops(method: string, path: string, headers: Record<string, string>): Attack['succeeds'] {
  return async ({ site }) => {
    const before = await site.get('/p', { headers: GOOD })
    await site.get(path, { method, headers })
    return (await site.get('/p', { headers: GOOD })).text !== before.text
  }
}

const elsewhere = [
  'http://good.test/p',
  'https://good.test/p',
  '//good.test/p',
  'http://evil.test@good.test/p',
  'http://good.test:80/p',
  'http://GOOD.test/p',
  'http:\\\\good.test/p',
]

describeAttacks(
  'dropping what is kept',
  [
    ...['Location', 'Content-Location'].flatMap((name) =>
      elsewhere.map((target): Attack => ({
        name: `${name}: ${target} in an answer of another host, which drops that page`,
        about: 'RFC 9111 §4.4: only of the same origin',
        view: OBLIGING,
        succeeds: drops('POST', `/x?${name.toLowerCase()}=${encodeURIComponent(target)}`, EVIL),
        naive: FLUSHING,
      })),
    ),
    {
      name: 'a POST to another host, which drops the page of the same path',
      about: 'RFC 9111 §4.4: the URL is the whole of it',
      view: OBLIGING,
      succeeds: drops('POST', '/p', EVIL),
      naive: FLUSHING,
    },
    {
      name: 'a POST with X-Forwarded-Host where no proxy is trusted, which drops that host’s page',
      about: 'CVE-2025-61925',
      view: OBLIGING,
      succeeds: drops('POST', '/p', { ...EVIL, 'X-Forwarded-Host': 'good.test' }),
      naive: FLUSHING,
    },
    ...[400, 401, 403, 404, 405, 429, 500, 503].map((status): Attack => ({
      name: `a POST that is answered with ${status}, which drops the page`,
      about: 'RFC 9111 §4.4: anybody could empty the cache with requests that are refused',
      view: OBLIGING,
      succeeds: drops('POST', '/p', { ...GOOD, 'X-Status': String(status) }),
      naive: FLUSHING,
    })),
    {
      name: 'a POST that is refused and names the page, which drops it',
      about: 'RFC 9111 §4.4',
      view: OBLIGING,
      succeeds: drops('POST', '/x?location=/p', { ...GOOD, 'X-Status': '403' }),
      naive: FLUSHING,
    },
    ...['HEAD', 'OPTIONS', 'TRACE'].map((method): Attack => ({
      name: `${method}, which drops the page`,
      about: 'RFC 9110 §9.2.1: safe methods change nothing',
      view: OBLIGING,
      succeeds: drops(method, '/p', GOOD),
      naive: FLUSHING,
    })),
    {
      name: 'a GET that says it is a POST, which drops the page',
      about: 'CVE-2019-19326: the method in the request line counts',
      view: OBLIGING,
      succeeds: drops('GET', '/p', { ...GOOD, 'X-HTTP-Method-Override': 'POST' }),
      naive: { ...FLUSHING, overridden: true },
    },
    {
      name: 'PURGE, which drops the page',
      about: 'RFC 9111 §4.4 holds for unknown methods; what the application refuses drops nothing',
      view: countingView((run, req, res) => {
        if (req.method === 'GET') return res.end(`run ${run}`)
        return res.status(405).end()
      }),
      succeeds: drops('PURGE', '/p', GOOD),
      naive: FLUSHING,
    },
  ],
  { later: true },
)
