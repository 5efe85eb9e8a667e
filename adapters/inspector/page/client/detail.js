import { createChart } from './chart.js'
import { el, emptyState, fill, plainTable, setText, uniqueId } from './dom.js'
import { chartRange, figures, roundUp, spanOf } from './figures.js'
import { count, duration, nowMs, percent, plural, ratio, time } from './format.js'
import { hashOf } from './hash.js'
import { getJson } from './requests.js'

/**
 * @import {Dependents, KnownEntry, NamedCount, SubjectPoint} from '../../api.js'
 * @import {View} from './app.js'
 * @import {Child} from './dom.js'
 */

/**
 * A view of one thing, which is read again at each poll. What is focused or scrolled to stays so, unless it changed.
 *
 * @template T
 * @param {object} setup
 * @param {string} setup.path
 * @param {(params: URLSearchParams) => string} setup.titleOf
 * @param {(detail: T) => readonly (readonly [title: string, data: unknown, draw: () => Child])[]} setup.sections -
 *   A section is drawn again when its data are others.
 * @param {readonly Node[]} setup.above - What the view has above its sections.
 * @param {(detail: T) => void} setup.update
 * @returns {View & { readonly params: () => URLSearchParams }}
 */
export function createDetail({ path, titleOf, sections, above, update }) {
  const failure = el('p', { class: 'failure', role: 'alert', hidden: true })
  const top = el('div', { hidden: true }, ...above)
  const place = el('div', { class: 'detail-sections' })
  const element = el('div', { class: 'detail-view' }, failure, top, place)
  /** @type {Map<string, { readonly stamp: string, readonly element: HTMLElement }>} */
  let drawn = new Map()
  let params = new URLSearchParams()
  let turn = 0

  async function load() {
    const own = ++turn
    try {
      /** @type {T} */
      const detail = await getJson(path, Object.fromEntries(params))
      if (own !== turn) return
      failure.hidden = true
      top.hidden = false
      update(detail)
      draw(detail)
    } catch (error) {
      if (own !== turn) return
      failure.hidden = false
      setText(failure, error instanceof Error ? error.message : String(error))
    }
  }

  /** @param {T} detail */
  function draw(detail) {
    const next = new Map()
    for (const [title, data, make] of sections(detail)) {
      const stamp = JSON.stringify(data)
      const before = drawn.get(title)
      next.set(title, before?.stamp === stamp ? before : { stamp, element: section(title, make()) })
    }
    const elements = [...next.values()].map((one) => one.element)
    if (elements.some((one, index) => place.children[index] !== one)) fill(place, ...elements)
    drawn = next
  }

  return {
    element,
    titleOf,
    params: () => params,
    show(wanted) {
      if (wanted.toString() !== params.toString()) {
        params = wanted
        top.hidden = true
        fill(place)
        drawn = new Map()
      }
      void load()
    },
    hide() {
      turn++
    },
    update: () => void load(),
    reload: () => void load(),
  }
}

/**
 * @param {string} title
 * @param {Child} content
 */
function section(title, content) {
  const id = uniqueId('section')
  return el('section', { class: 'card', 'aria-labelledby': id }, el('h3', { id }, title), content)
}

/**
 * Names with the number of entries that they are of, each a link.
 *
 * @param {readonly NamedCount[]} names
 * @param {string} nothing
 * @param {(name: string) => string} hrefOf
 * @param {string} [noun] - What they are.
 */
export function nameList(names, nothing, hrefOf, noun = 'variant') {
  if (names.length === 0) return el('p', { class: 'hint' }, nothing)
  return el(
    'ul',
    { class: 'names' },
    ...names.map(({ name, entries }) =>
      el(
        'li',
        {},
        el('a', { href: hrefOf(name) }, name),
        el('span', { class: 'hint' }, ` ${plural(entries, noun)}`),
      ),
    ),
  )
}

/**
 * Lines, each with how often it was so; the most frequent first.
 *
 * @param {readonly (readonly [line: Child, times: number])[]} lines
 * @param {string} nothing
 */
export function timesList(lines, nothing) {
  if (lines.length === 0) return el('p', { class: 'hint' }, nothing)
  return el(
    'ul',
    { class: 'names' },
    ...lines
      .toSorted(([, a], [, b]) => b - a)
      .map(([line, times]) =>
        el('li', {}, line, el('span', { class: 'hint' }, ` ${plural(times, 'time')}`)),
      ),
  )
}

/** @type {Readonly<Record<string, string>>} */
const causes = {
  'not-stored': 'Not stored before',
  expired: 'Expired',
  dropped: 'Dropped with another tag or fragment',
  removed: 'Removed, or its cache was cleared',
  evicted: 'Evicted, or removed by another process',
  unusable: 'Stored, but cannot be shown here',
  'other-version': 'Stored under another version or key prefix',
  'other-variant': 'Only other variants were stored',
  'store-failed': 'The store did not answer',
}

/**
 * Why something was missing, as a section.
 *
 * @param {Readonly<Record<string, number>> | undefined} counts
 * @param {(name: string) => string} hrefOf - Of a fragment.
 * @returns {readonly [title: string, data: unknown, draw: () => Child]}
 */
export function causeSection(counts, hrefOf) {
  /** @param {string} cause */
  function line(cause) {
    const [, kind = '', name = ''] = /^(tag|fragment):(.*)$/s.exec(cause) ?? []
    if (kind === '') return causes[cause] ?? cause
    const href = kind === 'tag' ? hrefOfTag(name) : hrefOf(name)
    const dropped = kind === 'tag' ? 'Dropped with the tag ' : 'Dropped with the fragment '
    return el('span', {}, dropped, el('a', { href }, name))
  }
  return [
    'Why it was missing',
    counts,
    () =>
      timesList(
        Object.entries(counts ?? {}).map(([cause, times]) => [line(cause), times]),
        'No miss has a known cause.',
      ),
  ]
}

/** @param {string} tag */
export const hrefOfTag = (tag) => hashOf('tag', { tag })

/**
 * @param {string} alias
 * @returns {(name: string) => string}
 */
export const hrefOfFragment = (alias) => (name) => hashOf('fragment', { alias, name })

/**
 * What depends on something: fragments, pages by their routes, and values.
 *
 * @param {Dependents} dependents
 * @param {string} nothing
 * @param {(name: string) => string} aliasOf - The cache of a fragment.
 */
export function dependentList({ fragments, pages, values }, nothing, aliasOf) {
  if (fragments.length + pages.length + values.entries === 0) {
    return el('p', { class: 'hint' }, nothing)
  }
  return el(
    'ul',
    { class: 'names' },
    ...fragments.map(({ name, entries, templates }) =>
      el(
        'li',
        {},
        'Fragment ',
        el('a', { href: hrefOfFragment(aliasOf(name))(name) }, name),
        el('span', { class: 'hint' }, ` ${[plural(entries, 'variant'), ...templates].join(' · ')}`),
      ),
    ),
    ...pages.map(({ route, entries, urls }) =>
      el(
        'li',
        {},
        'Pages of ',
        el('code', {}, route),
        el('span', { class: 'hint' }, ` ${plural(entries, 'page')}: ${urls.join(', ')}`),
      ),
    ),
    values.entries > 0 &&
      el(
        'li',
        {},
        plural(values.entries, 'value'),
        el('span', { class: 'hint' }, ` ${values.keys.join(', ')}`),
      ),
  )
}

/**
 * Entries in a table that scrolls sideways.
 *
 * @param {readonly KnownEntry[]} entries - The latest.
 * @param {number} total
 * @param {readonly ('name' | 'url' | 'varyOn')[]} shown - Columns beside the key, the tags and the times.
 */
export function entryTable(entries, total, shown) {
  if (entries.length === 0) {
    return el('p', { class: 'hint' }, 'None that this process stored and remembers is still there.')
  }
  /** @type {Readonly<Record<typeof shown[number], readonly [label: string, draw: (entry: KnownEntry) => Child]>>} */
  const columns = {
    name: ['Name or URL', ({ kind, name }) => (kind === 'value' ? 'a value' : name)],
    url: ['URL', ({ name }) => name],
    varyOn: [
      'Vary-on values',
      ({ varyOn }) => (varyOn.length === 0 ? 'none' : varyOn.map((one) => `“${one}”`).join(', ')),
    ],
  }
  const chosen = shown.map((id) => columns[id])
  return el(
    'div',
    {},
    total > entries.length &&
      el('p', { class: 'hint' }, `The latest ${count(entries.length)} of ${count(total)}.`),
    plainTable(
      'Entries',
      [
        { label: 'Key' },
        ...chosen.map(([label]) => ({ label })),
        { label: 'Tags', isWide: true },
        { label: 'Stored' },
        { label: 'Fresh until' },
      ],
      entries.map((entry) => [
        entryLink(entry),
        ...chosen.map(([, draw]) => draw(entry)),
        tagLinks(entry.tags),
        time(entry.storedAtMs),
        entry.freshUntilMs === null ? 'for ever' : time(entry.freshUntilMs),
      ]),
    ),
  )
}

/** @param {KnownEntry} entry */
function entryLink({ alias, key }) {
  // A key that was shortened leads nowhere.
  return key.endsWith('…')
    ? el('code', {}, key)
    : el('a', { href: hashOf('entry', { alias, key }) }, el('code', {}, key))
}

/** More tags of an entry are counted, and in its own view. */
const mostTags = 8

/** @param {readonly string[]} tags */
export function tagLinks(tags) {
  if (tags.length === 0) return 'none'
  const links = tags
    .slice(0, mostTags)
    .flatMap((tag, index) => [index > 0 && ', ', el('a', { href: hrefOfTag(tag) }, tag)])
  const more = tags.length > mostTags && ` and ${count(tags.length - mostTags)} more`
  return el('span', {}, ...links, more)
}

/**
 * Hit ratio and time over time of one fragment or route.
 *
 * @param {string} noun - What takes time: body, or handler.
 */
export function createSubjectCharts(noun) {
  const list = figures('figures')
  /** @type {Parameters<typeof update> | undefined} */
  let latest
  const range = chartRange(() => {
    if (latest) update(...latest)
  })
  const begins = 'Nothing yet (history begins when this page is opened first).'
  const ratioChart = createChart({
    title: 'Hit ratio',
    format: (share) => percent(share).replace('.0', ''),
    nothing: begins,
  })
  const timeChart = createChart({ title: `Mean ${noun} time`, format: duration, nothing: begins })
  const element = el(
    'section',
    { class: 'card', 'aria-label': 'Figures' },
    list.element,
    el('div', { class: 'toolbar range' }, range.element),
    el('div', { class: 'charts' }, ratioChart.element, timeChart.element),
  )

  /**
   * @param {readonly SubjectPoint[]} history
   * @param {readonly (readonly [name: string, value: string, hint?: string])[]} rows
   */
  function update(history, rows) {
    latest = [history, rows]
    range.update()
    list.update(rows)
    const now = nowMs()
    const spanMs = spanOf(history, now)
    const spanText = duration(spanMs)
    const frame = { fromMs: now - spanMs, untilMs: now, spanText: `${spanText} ago`, bands: [] }
    const shares = history.map(({ atMs, hits, others }) => ({ atMs, value: ratio(hits, others) }))
    const known = shares.flatMap(({ value }) => value ?? [])
    ratioChart.update({
      ...frame,
      top: 1,
      lines: [{ name: 'hit ratio', points: shares }],
      summary: rangeSummary(`Hit ratio over the last ${spanText}`, known, percent),
    })
    const times = history.map(({ atMs, madeMs }) => ({ atMs, value: madeMs }))
    const taken = times.flatMap(({ value }) => value ?? [])
    timeChart.update({
      ...frame,
      top: roundUp(Math.max(0.001, ...taken)),
      lines: [{ name: `mean ${noun} time`, points: times }],
      summary: rangeSummary(`Mean ${noun} time over the last ${spanText}`, taken, duration),
    })
  }

  return { element, update }
}

/**
 * @param {string} what
 * @param {readonly number[]} values
 * @param {(value: number) => string} format
 */
export function rangeSummary(what, values, format) {
  const last = values.at(-1)
  if (last === undefined) return `${what}: no samples yet.`
  return `${what}: between ${format(Math.min(...values))} and ${format(Math.max(...values))}, lately ${format(last)}.`
}

/**
 * What a view of one thing says where there is none of that name.
 *
 * @param {string} what
 */
export function nothingKnown(what) {
  return emptyState(
    `${what} was not used since the figures began.`,
    'Open a page of the site that has it: what becomes of it appears here.',
  )
}
