import {
  causeSection,
  createDetail,
  createSubjectCharts,
  dependentList,
  entryTable,
  hrefOfFragment,
  hrefOfTag,
  nameList,
  nothingKnown,
  timesList,
} from './detail.js'
import { el } from './dom.js'
import { bytes, count, duration, estimate, percent, plural, saved } from './format.js'
import { askToInvalidate } from './notices.js'
import { shareOf } from './statistics-views.js'

/**
 * @import {FragmentDetail, FragmentRoute, TemplatePlace} from '../../api.js'
 * @import {App, View} from './app.js'
 */

/**
 * All that is known of one fragment.
 *
 * @param {App} app
 * @returns {View}
 */
export function createFragmentDetail(app) {
  const charts = createSubjectCharts('body')
  const unused = nothingKnown('The fragment')
  const buttons = el(
    'div',
    { class: 'buttons' },
    el(
      'button',
      { type: 'button', class: 'danger', onclick: () => void invalidate() },
      'Invalidate fragment',
    ),
  )
  const view = createDetail(
    /** @type {Parameters<typeof createDetail<FragmentDetail>>[0]} */ ({
      path: 'api/fragment',
      titleOf: (params) => `Fragment ${params.get('name') ?? ''}`,
      above: [unused, charts.element, buttons],
      update({ alias, stats, history }) {
        unused.hidden = stats !== undefined
        charts.element.hidden = stats === undefined
        if (stats === undefined) return
        charts.update(history, [
          ['Hit ratio', percent(shareOf(stats)), 'Answered from the cache at once, of all'],
          ['Hits', count(stats.hits)],
          ['Misses', count(stats.misses)],
          ['Stale', count(stats.stale)],
          ['Joined', count(stats.joined)],
          ['Not stored', count(stats.bypasses)],
          ['Errors', count(stats.errors)],
          ['Mean body', stats.bodyMs > 0 ? duration(stats.bodyMs) : 'no samples yet'],
          ['Mean hit', stats.hitMs === undefined ? 'no samples yet' : duration(stats.hitMs)],
          ['Time saved', saved(stats)],
          ['Variants', estimate(stats.variants), 'Of all that were stored'],
          ['Mean size', stats.meanBytes === undefined ? 'no samples yet' : bytes(stats.meanBytes)],
          ['Cache', alias],
        ])
      },
      sections: (detail) => [
        causeSection(detail.stats?.causes, hrefOfFragment(detail.alias)),
        [
          'Why not stored, or stale',
          detail.reasons,
          () =>
            timesList(
              detail.reasons.map(({ sentence, times }) => [sentence, times]),
              'It was always stored, and never stale.',
            ),
        ],
        ['Templates', detail.places, () => placeList(detail.places)],
        [
          'Tags',
          detail.tags,
          () => nameList(detail.tags, 'None of its variants has a tag.', hrefOfTag),
        ],
        [
          'Contains',
          detail.contains,
          () =>
            nameList(
              detail.contains,
              'There is no other fragment in it.',
              hrefOfFragment(detail.alias),
            ),
        ],
        [
          'Is in',
          detail.dependents,
          () =>
            dependentList(
              detail.dependents,
              'No stored fragment or page has it in it.',
              () => detail.alias,
            ),
        ],
        ['Routes', detail.routes, () => routeList(detail.routes)],
        [
          'Variants',
          [detail.entryCount, detail.entries],
          () => entryTable(detail.entries, detail.entryCount, ['varyOn']),
        ],
      ],
    }),
  )

  async function invalidate() {
    const name = view.params().get('name') ?? ''
    const alias = view.params().get('alias') ?? ''
    const body = { fragment: name, using: alias }
    const question = {
      title: 'Invalidate this fragment?',
      text: `All variants of “${name}” in the cache “${alias}” would be rendered again when they are next asked for.`,
      confirm: 'Invalidate',
    }
    if ((await askToInvalidate(question, body)) !== undefined) await app.act('api/invalidate', body)
  }

  return view
}

/** @param {readonly FragmentRoute[]} routes */
function routeList(routes) {
  if (routes.length === 0) {
    return el('p', { class: 'hint' }, 'No request has shown it since the inspector was opened.')
  }
  return el(
    'ul',
    { class: 'names' },
    ...routes.map(({ route, times, paths }) =>
      el(
        'li',
        {},
        el('code', {}, route),
        el('span', { class: 'hint' }, ` ${plural(times, 'time')}: ${paths.join(', ')}`),
      ),
    ),
  )
}

/**
 * @param {string} template
 * @param {number | undefined} line
 */
function placeText(template, line) {
  return [el('code', {}, template), line !== undefined && `, line ${line}`]
}

/** @param {readonly TemplatePlace[]} places */
function placeList(places) {
  if (places.length === 0) {
    return el(
      'p',
      { class: 'hint' },
      'It was rendered from code, or not yet while there was an inspector.',
    )
  }
  return el(
    'ul',
    { class: 'names' },
    ...places.map(({ template, line, entries, inEditor }) =>
      el(
        'li',
        {},
        inEditor === undefined
          ? el('span', {}, ...placeText(template, line))
          : el('a', { href: inEditor }, ...placeText(template, line)),
        el(
          'span',
          { class: 'hint' },
          ` ${entries === 0 ? 'not stored' : plural(entries, 'variant')}`,
        ),
      ),
    ),
  )
}
