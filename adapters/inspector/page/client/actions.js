import { aliasChoices } from './app.js'
import { checkField, el, field, fill, setChoices, suggestions, uniqueId } from './dom.js'
import { askToInvalidate } from './notices.js'
import { getJson } from './requests.js'

/**
 * @import {KnownNames} from '../../api.js'
 * @import {App, View} from './app.js'
 * @import {Child} from './dom.js'
 */

/**
 * @param {string} title
 * @param {string} text
 * @param {() => Promise<void>} submit
 * @param {...Child} controls
 */
function actionForm(title, text, submit, ...controls) {
  const headingId = uniqueId('action')
  return el(
    'form',
    {
      class: 'card action',
      'aria-labelledby': headingId,
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault()
        void submit()
      },
    },
    el('h3', { id: headingId }, title),
    el('p', {}, text),
    ...controls,
  )
}

/** @param {string} text */
function submitButton(text) {
  return el('button', { type: 'submit', class: 'danger' }, text)
}

function textInput(type = 'text') {
  return el('input', { type, required: true, autocomplete: 'off', spellcheck: 'false' })
}

/**
 * What takes something out of the caches, each behind a confirmation.
 *
 * @param {App} app
 * @returns {View}
 */
export function createActions(app) {
  const fragment = textInput()
  const using = el('select')
  const isFragmentSoft = el('input', { type: 'checkbox' })
  const tag = textInput()
  const isTagSoft = el('input', { type: 'checkbox' })
  const url = textInput('url')
  const alias = el('select', { required: true })
  const urlButton = submitButton('Invalidate URL')
  const known = { fragments: suggestions(fragment), tags: suggestions(tag), urls: suggestions(url) }
  const urlNote = el('p', { class: 'hint' })

  /**
   * @param {string} title
   * @param {string} text
   * @param {string} confirm
   * @param {string} path
   * @param {object} body
   * @param {HTMLInputElement} [input] - Emptied once it is done.
   */
  async function confirmed(title, text, confirm, path, body, input) {
    const question = { title, text, confirm }
    if ((await askToInvalidate(question, body, path)) === undefined) return
    if ((await app.act(path, body)) && input) input.value = ''
  }

  const soft = 'Soft: shown as it is until it is produced again'
  const element = el(
    'div',
    { class: 'actions' },
    ...Object.values(known).map((one) => one.element),
    actionForm(
      'Invalidate a fragment',
      'All variants of the fragment with this name are rendered again when they are next asked for.',
      () =>
        confirmed(
          'Invalidate this fragment?',
          isFragmentSoft.checked
            ? `All variants of “${fragment.value}” would become stale.`
            : `All variants of “${fragment.value}” would be gone.`,
          'Invalidate',
          'api/invalidate',
          {
            fragment: fragment.value,
            ...(using.value !== '' && { using: using.value }),
            ...(isFragmentSoft.checked && { soft: true }),
          },
          fragment,
        ),
      field('Fragment name', fragment),
      field('Cache', using),
      checkField(soft, isFragmentSoft),
      submitButton('Invalidate fragment'),
    ),
    actionForm(
      'Invalidate a tag',
      'Everything that carries the tag, fragments, pages and values, in all caches.',
      () =>
        confirmed(
          'Invalidate this tag?',
          isTagSoft.checked
            ? `Everything that carries the tag “${tag.value}” would become stale.`
            : `Everything that carries the tag “${tag.value}” would be gone.`,
          'Invalidate',
          'api/invalidate',
          { tag: tag.value, ...(isTagSoft.checked && { soft: true }) },
          tag,
        ),
      field('Tag', tag),
      checkField(soft, isTagSoft),
      submitButton('Invalidate tag'),
    ),
    actionForm(
      'Invalidate a URL',
      'All variants of the page at this address.',
      () =>
        confirmed(
          'Invalidate this URL?',
          `All variants of the page at ${url.value} would be gone.`,
          'Invalidate',
          'api/invalidate',
          { url: url.value },
          url,
        ),
      field('URL', url, 'With its scheme and host, as visitors see it.'),
      urlNote,
      urlButton,
    ),
    actionForm(
      'Clear a cache',
      'Everything in it goes at once: the site is slower until it is produced again.',
      () =>
        confirmed(
          'Clear this cache?',
          `Every entry of the cache “${alias.value}” would be gone. This cannot be taken back.`,
          'Clear cache',
          'api/clear',
          { alias: alias.value },
        ),
      field('Cache', alias),
      submitButton('Clear cache'),
    ),
  )

  /** Without suggestions the forms do all the same. */
  async function suggest() {
    /** @type {KnownNames | undefined} */
    const names = await getJson('api/names').catch(() => undefined)
    if (names === undefined) return
    known.fragments.set(names.fragments)
    known.tags.set(names.tags)
    known.urls.set(names.urls)
  }

  function update() {
    setChoices(alias, aliasChoices(app))
    setChoices(using, [['', 'all'], ...aliasChoices(app)])
    const canInvalidateUrls = app.overview?.canInvalidateUrls !== false
    url.disabled = !canInvalidateUrls
    urlButton.disabled = !canInvalidateUrls
    urlNote.hidden = canInvalidateUrls
    if (!canInvalidateUrls && urlNote.textContent === '') {
      fill(urlNote, 'Hand the response cache to the inspector to invalidate URLs.')
    }
  }

  return {
    element,
    show(params) {
      update()
      void suggest()
      if (params.has('fragment')) fragment.value = params.get('fragment') ?? ''
      if (params.has('tag')) tag.value = params.get('tag') ?? ''
      if (params.has('url')) url.value = params.get('url') ?? ''
    },
    hide() {},
    update,
  }
}
