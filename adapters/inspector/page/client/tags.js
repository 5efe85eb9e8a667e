import { createDetail, dependentList, entryTable, hrefOfTag } from './detail.js'
import { el, emptyState, field, filterForm, setText } from './dom.js'
import { plural, short, time } from './format.js'
import { keepInHash } from './hash.js'
import { announceError, askToInvalidate } from './notices.js'
import { getJson } from './requests.js'
import { createTable, showTable, sorted } from './table.js'

/**
 * @import {Rows, TagDetail, TagRow} from '../../api.js'
 * @import {App, View} from './app.js'
 * @import {Column, Sort} from './table.js'
 */

/**
 * @param {App} app
 * @param {string} tag
 */
async function invalidateTag(app, tag) {
  const body = { tag }
  const question = {
    title: 'Invalidate this tag?',
    text: `Everything that carries the tag “${tag}” would be gone, in all caches.`,
    confirm: 'Invalidate',
  }
  if ((await askToInvalidate(question, body)) !== undefined) await app.act('api/invalidate', body)
}

/** @param {TagRow} row */
const entriesOfTag = ({ fragments, pages, values }) => fragments + pages + values

/**
 * @param {'fragments' | 'pages' | 'values'} id
 * @param {string} label
 * @returns {Column<TagRow>}
 */
function kindColumn(id, label) {
  return {
    id,
    label,
    width: 7,
    isNumeric: true,
    sortBy: (row) => row[id],
    show: (row) => short(row[id]),
  }
}

/** @type {readonly Column<TagRow>[]} */
const tagColumns = [
  {
    id: 'tag',
    label: 'Tag',
    width: 20,
    sortBy: ({ tag }) => tag,
    show: ({ tag }) => el('a', { href: hrefOfTag(tag) }, tag),
  },
  {
    id: 'entries',
    label: 'Entries',
    width: 7,
    isNumeric: true,
    sortBy: entriesOfTag,
    show: (row) => short(entriesOfTag(row)),
  },
  kindColumn('fragments', 'Fragments'),
  kindColumn('pages', 'Pages'),
  kindColumn('values', 'Values'),
  {
    id: 'invalidated',
    label: 'Invalidated',
    width: 10,
    sortBy: ({ invalidatedAtMs }) => invalidatedAtMs,
    show: ({ invalidatedAtMs }) =>
      invalidatedAtMs === undefined ? 'not yet' : time(invalidatedAtMs),
  },
]

/**
 * The tags of what this process stored.
 *
 * @param {App} app
 * @returns {View}
 */
export function createTags(app) {
  const filter = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const shown = el('p', { class: 'shown', role: 'status' })
  const place = el('div', { class: 'table-place' })
  /** @type {readonly TagRow[] | undefined} */
  let all
  /** @type {Sort} */
  let sort = { column: 'entries', isDescending: true }
  let isShown = false
  const table = createTable({
    label: 'Tags',
    columns: tagColumns,
    keyOf: ({ tag }) => tag,
    action: {
      label: 'Invalidate',
      nameOf: ({ tag }) => tag,
      applies: () => true,
      run: ({ tag }) => void invalidateTag(app, tag),
    },
    onSort(next) {
      sort = next
      refresh()
    },
  })
  const element = el(
    'div',
    {},
    filterForm([field('Filter by name', filter)], () => void load()),
    shown,
    place,
    el(
      'p',
      { class: 'hint' },
      'Of the entries that this process stored and remembers. The arrow keys lead from row to row.',
    ),
  )
  filter.addEventListener('input', refresh)

  async function load() {
    try {
      /** @type {Rows<TagRow>} */
      const { rows } = await getJson('api/tags')
      all = rows
      refresh()
    } catch (error) {
      announceError(error)
    }
  }

  function refresh() {
    if (!isShown) return
    keepInHash('tags', {
      q: filter.value,
      sort: sort.column === 'entries' && sort.isDescending ? undefined : sort.column,
      order: sort.isDescending ? undefined : 'up',
    })
    table.showSort(sort)
    if (all === undefined) return
    const text = filter.value.trim().toLowerCase()
    const matching = all.filter(({ tag }) => tag.toLowerCase().includes(text))
    const column = tagColumns.find(({ id }) => id === sort.column)
    table.setRows(column ? sorted(matching, column, sort.isDescending) : matching)
    const total = plural(all.length, 'tag')
    setText(shown, matching.length === all.length ? total : `${matching.length} of ${total}`)
    const nothing =
      matching.length > 0
        ? undefined
        : all.length === 0
          ? emptyState('Nothing that is stored has a tag.', 'Give fragments, pages or values tags.')
          : emptyState('No tag matches.', 'Shorten the text of the filter.')
    showTable(place, table.element, nothing)
  }

  return {
    element,
    show(params) {
      isShown = true
      filter.value = params.get('q') ?? ''
      const id = params.get('sort') ?? 'entries'
      const column = tagColumns.some((one) => one.id === id) ? id : 'entries'
      sort = { column, isDescending: params.get('order') !== 'up' }
      refresh()
      void load()
    },
    hide() {
      isShown = false
    },
    update: () => void load(),
    reload: () => void load(),
  }
}

/**
 * What depends on one tag.
 *
 * @param {App} app
 * @returns {View}
 */
export function createTagDetail(app) {
  const last = el('p', {})
  const buttons = el(
    'div',
    { class: 'buttons' },
    el(
      'button',
      {
        type: 'button',
        class: 'danger',
        onclick: () => void invalidateTag(app, view.params().get('tag') ?? ''),
      },
      'Invalidate tag',
    ),
  )
  const view = createDetail(
    /** @type {Parameters<typeof createDetail<TagDetail>>[0]} */ ({
      path: 'api/tag',
      titleOf: (params) => `Tag ${params.get('tag') ?? ''}`,
      above: [last, buttons],
      update({ invalidated }) {
        const stamp = JSON.stringify(invalidated ?? null)
        if (last.dataset.stamp === stamp) return
        last.dataset.stamp = stamp
        last.replaceChildren(
          ...(invalidated === undefined
            ? ['This process has not invalidated it.']
            : [
                'Last invalidated by this process ',
                time(invalidated.atMs),
                invalidated.by === undefined ? '' : `, by ${invalidated.by}`,
                invalidated.from === undefined ? '.' : `, from ${invalidated.from}.`,
              ]),
        )
      },
      sections: ({ dependents, entries, entryCount }) => [
        [
          'Depends on it',
          dependents,
          () =>
            dependentList(
              dependents,
              'Nothing that this process stored and remembers.',
              (name) =>
                entries.find((one) => one.kind === 'fragment' && one.name === name)?.alias ??
                app.overview?.aliases[0]?.alias ??
                '',
            ),
        ],
        [
          'Entries',
          [entryCount, entries],
          () => entryTable(entries, entryCount, ['name', 'varyOn']),
        ],
      ],
    }),
  )
  return view
}
