import { createActions } from './actions.js'
import { el, fill, setText } from './dom.js'
import { createEntries } from './entries.js'
import { createEntry } from './entry.js'
import { createFragmentDetail } from './fragment-detail.js'
import { refreshTimes, setServerTime } from './format.js'
import { readHash } from './hash.js'
import { createLive } from './live.js'
import { announce, announceError, clearNotices, noticeArea } from './notices.js'
import { createOverview } from './overview.js'
import { addressOf, getJson, postJson } from './requests.js'
import { createResponses } from './responses.js'
import { createRouteDetail } from './route-detail.js'
import { createFragments, createRoutes } from './statistics-views.js'
import { createTagDetail, createTags } from './tags.js'

/**
 * @import {Overview} from '../../api.js'
 * @import {App, View} from './app.js'
 */

const pollMs = 5000

/** @type {readonly (readonly [id: string, title: string, create: (app: App) => View])[]} */
const views = [
  ['overview', 'Overview', createOverview],
  ['fragments', 'Fragments', createFragments],
  ['routes', 'Routes', createRoutes],
  ['tags', 'Tags', createTags],
  ['responses', 'Responses', createResponses],
  ['live', 'Live', createLive],
  ['entries', 'Entries', createEntries],
  ['actions', 'Actions', createActions],
]

/**
 * Views of one thing, which the list of all leads to.
 *
 * @type {readonly (readonly [id: string, list: string, create: (app: App) => View])[]}
 */
const details = [
  ['fragment', 'fragments', createFragmentDetail],
  ['route', 'routes', createRouteDetail],
  ['tag', 'tags', createTagDetail],
  ['entry', 'entries', createEntry],
]

/** @type {Map<string, View>} */
const made = new Map()
/** @type {string | undefined} */
let currentId

const heading = el('h2', { tabindex: -1 })
const place = el('div', { class: 'view' })
const server = el('p', { class: 'server-line' })
const lost = el('p', { class: 'failure', role: 'alert', hidden: true })

/** @type {App} */
const app = { overview: undefined, act }

/**
 * @param {string} path
 * @param {object} body
 */
async function act(path, body) {
  try {
    const { sentence } = await postJson(path, body)
    announce(sentence)
  } catch (error) {
    announceError(error)
    return false
  }
  current()?.reload?.()
  await poll()
  return true
}

function current() {
  return currentId === undefined ? undefined : made.get(currentId)
}

async function poll() {
  try {
    /** @type {Overview} */
    const overview = await getJson('api/overview')
    app.overview = overview
    setServerTime(overview.nowMs)
    const { version, node, pid } = overview
    setText(server, `fragcache ${version} · Node ${node.replace(/^v/, '')} · process ${pid}`)
    lost.hidden = true
    setText(lost, '')
    current()?.update?.(overview)
  } catch (error) {
    lost.hidden = false
    setText(lost, error instanceof Error ? error.message : String(error))
  }
  refreshTimes()
}

/** Shows the view that the address names; after the first one, its heading is focused. */
function route() {
  const { view: wanted, params } = readHash()
  const detail = details.find(([name]) => name === wanted)
  const [id, title, create] =
    views.find(([name]) => name === (detail?.[1] ?? wanted)) ??
    /** @type {typeof views[number]} */ (views[0])
  const viewId = detail?.[0] ?? id
  let view = made.get(viewId)
  if (view === undefined) {
    view = (detail?.[2] ?? create)(app)
    made.set(viewId, view)
  }
  const text = view.titleOf?.(params) ?? title
  const isFirst = currentId === undefined
  const isOther = viewId !== currentId || heading.textContent !== text
  if (isOther) {
    current()?.hide()
    if (!isFirst) clearNotices()
  }
  currentId = viewId
  if (isOther) {
    setText(heading, text)
    document.title = `${text} – cache inspector`
    fill(place, view.element)
    for (const link of document.querySelectorAll('nav a')) {
      if (link.getAttribute('href') === `#${id}`) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    }
  }
  view.show(params)
  if (isOther && !isFirst) {
    heading.focus({ preventScroll: true })
    window.scrollTo(0, 0)
  }
}

function start() {
  const main = el('main', { id: 'main', tabindex: -1 }, lost, noticeArea(), heading, place)
  const skip = el(
    'a',
    {
      class: 'skip',
      href: '#main',
      onclick: (/** @type {Event} */ event) => {
        // The address names the view.
        event.preventDefault()
        main.focus()
      },
    },
    'Skip to the content',
  )
  document.body.prepend(
    skip,
    el(
      'header',
      {},
      el('div', { class: 'head' }, el('h1', {}, 'Cache inspector'), server),
      el(
        'nav',
        { 'aria-label': 'Views' },
        el(
          'ul',
          {},
          ...views.map(([id, title]) => el('li', {}, el('a', { href: `#${id}` }, title))),
          el('li', { class: 'help' }, el('a', { href: addressOf('help') }, 'Help')),
        ),
      ),
    ),
    main,
  )
  window.addEventListener('hashchange', route)
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') void poll()
  })
  void poll().then(() => {
    route()
    setInterval(() => {
      if (document.visibilityState === 'visible') void poll()
    }, pollMs)
  })
}

start()
