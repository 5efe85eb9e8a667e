import { aliasChoices } from './app.js'
import { el, emptyState, field, fill, setChoices, setText } from './dom.js'
import { bytes, time } from './format.js'
import { hashOf } from './hash.js'
import { ask, askToInvalidate } from './notices.js'
import { getJson } from './requests.js'

/**
 * @import {Entry} from '../../api.js'
 * @import {Child} from './dom.js'
 * @import {App, View} from './app.js'
 */

const previewKinds = { text: 'Text', json: 'JSON', binary: 'Bytes', page: 'A kept page' }

/**
 * One entry: looked up by cache, key and version.
 *
 * @param {App} app
 * @returns {View}
 */
export function createEntry(app) {
  const alias = el('select', { required: true })
  const key = el('input', { required: true, autocomplete: 'off', spellcheck: 'false' })
  const version = el('input', { autocomplete: 'off', spellcheck: 'false' })
  const result = el('div', { class: 'entry-result', 'aria-live': 'polite' })
  const element = el(
    'div',
    {},
    el(
      'form',
      { class: 'toolbar', onsubmit: look },
      field('Cache', alias),
      field('Key', key),
      field('Version', version),
      el('button', { type: 'submit', class: 'primary' }, 'Look up'),
    ),
    el(
      'p',
      { class: 'hint' },
      'The key as the site has it, without prefix and version. Without a version: the cache’s own.',
    ),
    result,
  )
  let turn = 0

  /** @param {Event} event */
  function look(event) {
    event.preventDefault()
    const hash = hashOf('entry', {
      alias: alias.value,
      key: key.value,
      version: version.value.trim(),
    })
    if (location.hash === hash) void load()
    else location.hash = hash
  }

  function query() {
    return {
      alias: alias.value,
      key: key.value,
      ...(version.value.trim() !== '' && { version: version.value.trim() }),
    }
  }

  async function load() {
    const own = ++turn
    if (key.value === '') {
      fill(
        result,
        emptyState(
          'No key is given yet.',
          'Type a key above, or follow an “Entry” link of the views Responses and Live.',
        ),
      )
      return
    }
    try {
      /** @type {Entry} */
      const entry = await getJson('api/entry', query())
      if (own === turn) show(entry)
    } catch (error) {
      if (own !== turn) return
      const text = error instanceof Error ? error.message : String(error)
      fill(result, el('p', { class: 'failure', role: 'alert' }, text))
    }
  }

  /** @param {Entry} entry */
  function show(entry) {
    if (!entry.found) {
      fill(
        result,
        emptyState(
          'There is no live entry under this key.',
          entry.cause?.text ??
            'Neither the store nor this process knows why: values without tags are not remembered.',
        ),
        list([['Stored key', el('code', {}, entry.storedKey)]]),
      )
      return
    }
    fill(
      result,
      list([
        ['Key', el('code', {}, entry.key)],
        ['Stored key', el('code', {}, entry.storedKey)],
        ['Version', entry.version],
        ['Cache', entry.alias],
        ['Expires', entry.expiresAtMs === null ? 'never' : time(entry.expiresAtMs)],
        [
          'State',
          entry.isStale
            ? 'Stale: its time is over, and it is served only where that is allowed'
            : el(
                'span',
                {},
                'Fresh',
                entry.freshUntilMs !== null &&
                  entry.freshUntilMs !== entry.expiresAtMs &&
                  el('span', {}, ', stale ', time(entry.freshUntilMs)),
              ),
        ],
        ['Size', bytes(entry.bytes)],
        ['Tags', tags(entry)],
        ...(entry.fragments.length > 0
          ? [/** @type {const} */ (['Fragments', fragments(entry)])]
          : []),
      ]),
      el('h3', {}, `Preview: ${previewKinds[entry.previewKind]}`),
      entry.preview === undefined
        ? el('p', {}, 'There is no preview of this value.')
        : el(
            'pre',
            { tabindex: 0, role: 'region', 'aria-label': 'Preview, scrollable' },
            entry.preview,
          ),
      entry.isTruncated &&
        el('p', { class: 'hint' }, 'This is the beginning; the value is longer.'),
      el(
        'div',
        { class: 'buttons' },
        el(
          'button',
          { type: 'button', class: 'danger', onclick: () => void remove(entry) },
          'Delete entry',
        ),
      ),
    )
  }

  /** @param {readonly (readonly [name: string, value: Child])[]} rows */
  function list(rows) {
    return el(
      'dl',
      { class: 'entry' },
      ...rows.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
    )
  }

  /** @param {Entry} entry */
  function tags(entry) {
    if (entry.tags.length === 0) return 'none'
    return names(entry.tags, 'tag', (tag) =>
      invalidate('tag', `Everything that carries the tag “${tag}” would be gone, in all caches.`, {
        tag,
      }),
    )
  }

  /** @param {Entry} entry */
  function fragments(entry) {
    return names(entry.fragments, 'fragment', (fragment) =>
      invalidate(
        'fragment',
        `All variants of “${fragment}” in the cache “${entry.alias}” would be gone, and pages that hold one.`,
        { fragment, using: entry.alias },
      ),
    )
  }

  /**
   * @param {readonly string[]} list
   * @param {string} noun
   * @param {(name: string) => Promise<void>} run
   */
  function names(list, noun, run) {
    return el(
      'ul',
      { class: 'tags' },
      ...list.map((name) =>
        el(
          'li',
          {},
          el('code', {}, name),
          el(
            'button',
            {
              type: 'button',
              'aria-label': `Invalidate ${noun} ${name}`,
              onclick: () => void run(name),
            },
            'Invalidate',
          ),
        ),
      ),
    )
  }

  /**
   * @param {string} noun
   * @param {string} text
   * @param {object} body
   */
  async function invalidate(noun, text, body) {
    const title = `Invalidate this ${noun}?`
    const answer = await askToInvalidate({ title, text, confirm: 'Invalidate' }, body)
    if (answer !== undefined) await app.act('api/invalidate', body)
  }

  /** @param {Entry} entry */
  async function remove(entry) {
    const answer = await ask({
      title: 'Delete this entry?',
      text: `“${entry.key}” of the cache “${entry.alias}” is produced again when it is next asked for.`,
      confirm: 'Delete',
    })
    if (answer === undefined) return
    const { alias, key, version } = entry
    await app.act('api/delete', { alias, key, version })
  }

  function choices() {
    setChoices(alias, aliasChoices(app))
  }

  return {
    element,
    titleOf: () => 'Entry',
    show(params) {
      choices()
      const wanted = params.get('alias')
      if (wanted !== null) {
        if (![...alias.options].some(({ value }) => value === wanted)) {
          alias.append(el('option', { value: wanted }, wanted))
        }
        alias.value = wanted
      }
      key.value = params.get('key') ?? ''
      version.value = params.get('version') ?? ''
      setText(result, '')
      void load()
    },
    hide() {
      turn++
    },
    update: choices,
    reload: () => void load(),
  }
}
