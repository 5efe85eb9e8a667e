import { aliasChoices } from './app.js'
import { tagLinks } from './detail.js'
import {
  el,
  emptyState,
  field,
  fill,
  filterForm,
  plainTable,
  setChoices,
  setText,
  suggestions,
} from './dom.js'
import { bytes, plural, time } from './format.js'
import { hashOf, keepInHash } from './hash.js'
import { getJson } from './requests.js'

/**
 * @import {EntryList, EntryRow, KnownNames} from '../../api.js'
 * @import {App, View} from './app.js'
 */

/** So long after the last key somebody has typed. */
const typingMs = 300

/** @type {readonly (readonly [value: string, label: string])[]} */
const entryKinds = [
  ['', 'all'],
  ['fragment', 'fragments'],
  ['page', 'pages'],
  ['value', 'values'],
]

/**
 * What a store keeps, by the beginning of the key.
 *
 * @param {App} app
 * @returns {View}
 */
export function createEntries(app) {
  const alias = el('select')
  const prefix = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const kind = el('select')
  const tag = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const known = { prefixes: suggestions(prefix), tags: suggestions(tag) }
  const shown = el('p', { class: 'shown', role: 'status' })
  const place = el('div')
  const element = el(
    'div',
    {},
    filterForm(
      [
        field('Cache', alias),
        field('Key begins with', prefix),
        field('Kind', kind),
        field('Tag', tag),
      ],
      () => void load(),
    ),
    el(
      'p',
      { class: 'hint' },
      'What the store itself lists, from all processes. ',
      el('a', { href: '#entry' }, 'Look up one entry by its key'),
    ),
    shown,
    place,
    known.prefixes.element,
    known.tags.element,
  )
  setChoices(kind, entryKinds)
  let turn = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing
  /** @type {string | undefined} */
  let stamp

  for (const control of [alias, kind]) control.addEventListener('change', () => void load())
  for (const control of [prefix, tag]) {
    control.addEventListener('input', () => {
      clearTimeout(typing)
      typing = setTimeout(() => void load(), typingMs)
    })
  }

  /** Without suggestions the form does all the same. */
  async function suggest() {
    /** @type {KnownNames | undefined} */
    const names = await getJson('api/names').catch(() => undefined)
    if (names === undefined) return
    known.prefixes.set(names.prefixes)
    known.tags.set(names.tags)
  }

  function query() {
    return { alias: alias.value, prefix: prefix.value, kind: kind.value, tag: tag.value }
  }

  async function load() {
    const own = ++turn
    keepInHash('entries', query())
    try {
      /** @type {EntryList} */
      const found = await getJson('api/entries', query())
      if (own !== turn) return
      const next = JSON.stringify(found)
      if (stamp !== next) show(found)
      stamp = next
    } catch (error) {
      if (own !== turn) return
      stamp = undefined
      const text = error instanceof Error ? error.message : String(error)
      fill(place, el('p', { class: 'failure', role: 'alert' }, text))
    }
  }

  /** @param {EntryList} found */
  function show({ alias: name, canList, rows, isWhole }) {
    setText(
      shown,
      canList
        ? `${plural(rows.length, 'entry', 'entries')}${isWhole ? '' : ', and perhaps more'}`
        : '',
    )
    if (!canList) {
      fill(
        place,
        emptyState(
          `The store of “${name}” cannot tell which entries it keeps.`,
          'Look up one entry by its key, or see the fragments and tags that this process knows.',
        ),
      )
    } else if (rows.length === 0) {
      fill(place, emptyState('No entry matches.', 'Shorten the beginning of the key.'))
    } else {
      fill(place, storedTable(name, rows))
    }
  }

  function choices() {
    setChoices(alias, aliasChoices(app))
  }

  return {
    element,
    show(params) {
      choices()
      const wanted = params.get('alias')
      if (wanted !== null && [...alias.options].some(({ value }) => value === wanted)) {
        alias.value = wanted
      }
      void suggest()
      prefix.value = params.get('prefix') ?? ''
      kind.value = params.get('kind') ?? ''
      tag.value = params.get('tag') ?? ''
      void load()
    },
    hide() {
      turn++
      clearTimeout(typing)
    },
    update: choices,
    reload: () => void load(),
  }
}

/**
 * @param {string} alias
 * @param {readonly EntryRow[]} rows
 */
function storedTable(alias, rows) {
  return plainTable(
    'Entries',
    [
      { label: 'Key' },
      { label: 'Kind' },
      { label: 'Expires' },
      { label: 'Size', isNumeric: true },
      { label: 'Tags', isWide: true },
    ],
    rows.map(({ key, version, kind, expiresAtMs, isStale, bytes: size, tags }) => [
      el('a', { href: hashOf('entry', { alias, key, version }) }, el('code', {}, key)),
      isStale ? `${kind}, stale` : kind,
      expiresAtMs === null ? 'never' : time(expiresAtMs),
      bytes(size),
      tagLinks(tags),
    ]),
  )
}
