import {
  causeSection,
  createDetail,
  createSubjectCharts,
  entryTable,
  hrefOfFragment,
  hrefOfTag,
  nameList,
  nothingKnown,
  timesList,
} from './detail.js'
import { el } from './dom.js'
import { bytes, count, duration, estimate, percent, saved } from './format.js'
import { hashOf } from './hash.js'
import { addressOf } from './requests.js'
import { shareOf } from './statistics-views.js'

/**
 * @import {RouteDetail} from '../../api.js'
 * @import {View} from './app.js'
 */

/**
 * All that is known of the pages of one route.
 *
 * @returns {View}
 */
export function createRouteDetail() {
  const charts = createSubjectCharts('handler')
  const unused = nothingKnown('The route')
  return createDetail(
    /** @type {Parameters<typeof createDetail<RouteDetail>>[0]} */ ({
      path: 'api/route',
      titleOf: (params) => `Route ${params.get('route') ?? ''}`,
      above: [unused, charts.element],
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
          ['Mean handler', stats.viewMs > 0 ? duration(stats.viewMs) : 'no samples yet'],
          ['Time saved', saved(stats)],
          ['Variants', estimate(stats.variants), 'Of all that were stored'],
          ['Mean size', stats.meanBytes === undefined ? 'no samples yet' : bytes(stats.meanBytes)],
          ['Cache', alias],
        ])
      },
      sections: ({ route, alias, stats, reasons, tags, contains, entries, entryCount }) => [
        causeSection(stats?.causes, hrefOfFragment(alias)),
        [
          'Why not cached',
          reasons,
          () =>
            el(
              'div',
              {},
              timesList(
                reasons.map(({ sentence, href, times }) => [
                  href === undefined ? sentence : el('a', { href: addressOf(href) }, sentence),
                  times,
                ]),
                'Nothing was refused.',
              ),
              el(
                'p',
                {},
                el(
                  'a',
                  { href: hashOf('responses', { q: pathPrefixOf(route) }) },
                  'The latest responses',
                ),
              ),
            ),
        ],
        [
          'Fragments',
          contains,
          () =>
            nameList(
              contains,
              'No stored page has a fragment in it.',
              hrefOfFragment(alias),
              'page',
            ),
        ],
        ['Tags', tags, () => nameList(tags, 'No stored page has a tag.', hrefOfTag, 'page')],
        ['Stored pages', [entryCount, entries], () => entryTable(entries, entryCount, ['url'])],
      ],
    }),
  )
}

/**
 * The part of a route's path that all of its URLs have.
 *
 * @param {string} route
 */
function pathPrefixOf(route) {
  return route.replace(/^[A-Z-]+ /, '').split(/[:*({]/)[0]
}
