/* global countsOf, duration, innerWidth, make, makeButton, makeInvalidation, makeLinks, makeTable, memory, savedOf, wordOf */
/* exported makeBar */

/** Pixels. */
const NARROW = 700

/**
 * What became of the page, and of all its fragments.
 *
 * @param {OverlayData} data
 * @param {{ readonly setOutlines: (isOn: boolean) => void, readonly showOf: (facts: FragmentFacts) => (() => void) | undefined }} outlines
 */
function makeBar(data, { setOutlines, showOf }) {
  const { page, fragments, failed } = data
  const all = [...fragments, ...failed.map(toFacts)]
  const bar = make('div', `bar ${data.position}`)
  bar.setAttribute('role', 'group')
  bar.setAttribute('aria-label', 'Cache of this page')

  /** @param {string} outcome @param {string} text */
  const wordFor = (outcome, text) => make('span', `word ${outcome}`, text)

  const own = page.outcome === undefined ? 'page not in a cache' : `page ${wordOf(page.outcome)}`
  const row = make('div', 'row', wordFor(page.outcome ?? 'none', own))
  const counts = countsOf(all).map(({ outcome, text }) => make('li', '', wordFor(outcome, text)))
  if (counts.length > 0) row.append(make('ul', 'counts', ...counts))
  else row.append(make('span', 'note', 'no fragments'))
  const saved = savedOf(fragments)
  if (saved.known > 0) row.append(make('span', 'saved', `saved ${duration(saved.ms)}`))

  const rows = make('dl')
  /** @param {string} name @param {string | Node | undefined} value @param {boolean} [isCode] */
  const add = (name, value, isCode = false) => {
    if (value === undefined || value === '') return
    rows.append(make('dt', '', name), make('dd', isCode ? 'mono' : '', value))
  }
  add('Page', page.outcome === undefined ? 'no response cache was asked' : wordOf(page.outcome))
  add('Why', page.reason)
  const { route } = page
  add('Route', route === undefined ? undefined : make('span', 'origin', route, makeLinks(page)))
  add('Key', page.key, true)
  add('Alias', page.alias)
  add('Status', String(page.status))
  add('Took', duration(page.tookMs))
  add('Saved', sentenceOfSaved(saved))
  add('Cache-Control', page.cacheControl, true)
  add('Cache-Status', page.cacheStatus, true)
  const more = make('div', 'more', rows)
  more.id = 'more'
  for (const sentence of [page.sentence, page.remedy]) {
    if (sentence !== undefined) more.append(make('p', 'note', sentence))
  }
  const { url } = page
  if (url !== undefined) {
    more.append(makeInvalidation(data, [['Invalidate this URL', { url }]], () => undefined))
  }
  if (all.length > 0) more.append(makeTable(all, withRoom))

  /** In a narrow window the list would lie on what it leads to. @param {FragmentFacts} facts */
  function withRoom(facts) {
    const show = showOf(facts)
    return (
      show &&
      (() => {
        if (innerWidth < NARROW) showMore(false)
        show()
      })
    )
  }

  const details = makeButton('Details', () => showMore(more.hidden === true))
  details.setAttribute('aria-controls', more.id)
  /** @param {boolean} isOn */
  function showMore(isOn) {
    more.hidden = !isOn
    bar.classList.toggle('wide', isOn)
    details.setAttribute('aria-expanded', String(isOn))
    memory.set('more', isOn ? 'yes' : 'no')
  }
  const toggle = makeButton('Outlines', () => draw(toggle.getAttribute('aria-pressed') !== 'true'))
  /** @param {boolean} isOn */
  function draw(isOn) {
    toggle.setAttribute('aria-pressed', String(isOn))
    memory.set('outlines', isOn ? 'on' : 'off')
    setOutlines(isOn)
  }
  row.append(toggle, details)
  const note = make('p', 'note', memory.get('message') ?? '')
  note.setAttribute('role', 'status')
  memory.set('message', '')
  bar.append(row, note, more)
  showMore(memory.get('more') === 'yes')
  draw(memory.get('outlines') !== 'off')
  return bar
}

/** @param {{ readonly ms: number, readonly known: number, readonly unknown: number }} saved */
function sentenceOfSaved({ ms, known, unknown }) {
  if (known + unknown === 0) return 'nothing'
  if (known === 0) return 'not known: no body has run in this process'
  const bodies = known === 1 ? 'one body' : `${known} bodies`
  const others = unknown === 0 ? '' : `, and that of ${unknown} more, which is not known`
  return `${duration(ms)}, the time of ${bodies} that did not have to run${others}`
}

/** A fragment whose body threw and that wrote nothing. @returns {FragmentFacts} */
function toFacts(/** @type {OverlayData['failed'][number]} */ origin) {
  const why = 'Its body threw an error.'
  const nothing = { id: -1, key: '', isStale: false, tags: [], caches: -1, isSure: true }
  return { ...nothing, ...origin, outcome: 'error', why }
}
