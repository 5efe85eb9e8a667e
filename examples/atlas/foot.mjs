import { escapeHtml } from './html.mjs'

/**
 * Middleware: puts a line at the end of a page that says what was a hit and what it cost. It stands
 * around everything that is cached, so it is part of no fragment and of no cached response. With the
 * request header `Atlas-Foot: off` pages are sent as they are.
 */
export function foot(req, res, next) {
  if (req.method !== 'GET' || req.get('atlas-foot') === 'off') return next()
  const { end, writeHead } = res
  let length

  // Not before this: what stands further in has to see, and may keep, the length of its own page.
  res.writeHead = function writeHeadWithFoot(...args) {
    if (length !== undefined) res.setHeader('Content-Length', length)
    return writeHead.apply(res, args)
  }

  res.end = function endWithFoot(chunk, encoding, ...rest) {
    res.end = end
    const isPage = /^text\/html\b/.test(String(res.getHeader('content-type') ?? ''))
    if (res.headersSent || !isPage || !chunk) return end.call(res, chunk, encoding, ...rest)
    const status = String(res.getHeader('cache-status') ?? '')
    const whole = !/\bhit\b/.test(status)
      ? undefined
      : /\bstale\b|stale-while/.test(status)
        ? 'The whole page is an old one; it is made again behind it.'
        : /\bprivate\b/.test(String(res.getHeader('cache-control') ?? ''))
          ? 'The whole page was a hit; only its holes were rendered.'
          : 'The whole response was a hit: no template ran.'
    const page = Buffer.concat([
      Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8'),
      Buffer.from(footOf(res.locals.account, whole)),
    ])
    length = page.length
    return end.call(res, page)
  }
  next()
}

/**
 * @param {import('./watch.mjs').Account} account
 * @param {string | undefined} whole - What there is to say of a response that came from the cache.
 */
function footOf({ startedAtMs, fragments, bodies }, whole) {
  const total = milliseconds(performance.now() - startedAtMs)
  const hits = fragments.filter(({ outcome }) => outcome === 'hit').length
  const ofFragments =
    fragments.length > 0
      ? `${hits} of ${fragments.length} fragments were hits.`
      : 'This page has no fragments.'
  const summary = whole ?? ofFragments
  return `<aside class="foot" aria-label="What this page cost">
<p><b>${summary}</b> ${total}</p>
${madeAgain(bodies)}
${fragments.length > 0 ? tableOf(fragments) : ''}
</aside>
`
}

/** Which bodies did run: by the name of the fragment and what it varies on. */
function madeAgain(bodies) {
  const names = bodies.map((body) => `<li>${escapeHtml(labelOf(body))}</li>`)
  if (names.length === 0) return ''
  const list = `<ul class="made">${names.join('')}</ul>`
  if (names.length <= 12) return `<p>Made for this page:</p>${list}`
  return `<details><summary>${names.length} made for this page</summary>${list}</details>`
}

/** A body by what it asked: the name of its fragment and what it varies on. */
export const labelOf = (body) => body.map(shortened).join(' ')

/** A visitor's random id would say nothing to anybody. */
const shortened = (part) => (part.length > 12 ? 'you' : part)

function tableOf(fragments) {
  const byName = new Map()
  for (const { name, alias, outcome, bodyMs = 0 } of fragments) {
    const row = byName.get(name) ?? { alias, hits: 0, made: 0, bodyMs: 0 }
    if (outcome === 'hit') row.hits += 1
    else row.made += 1
    row.bodyMs += bodyMs
    byName.set(name, row)
  }
  const rows = [...byName].map(
    ([name, { alias, hits, made, bodyMs }]) =>
      `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(alias)}</td>` +
      `<td class="number">${hits}</td><td class="number">${made}</td>` +
      `<td class="number">${made > 0 ? milliseconds(bodyMs) : ''}</td></tr>`,
  )
  return `<details><summary>Fragment by fragment</summary>
<div class="scroll" role="region" tabindex="0" aria-label="Fragments of this page">
<table>
<thead><tr><th scope="col">Fragment</th><th scope="col">Cache</th><th scope="col" class="number">Hits</th>
<th scope="col" class="number">Made</th><th scope="col" class="number">Time in bodies</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
</div>
</details>`
}

const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
