import { el, fill, uniqueId } from './dom.js'
import { postJson } from './requests.js'

const notices = el('div', { class: 'notices' })
const polite = el('div', { role: 'status', 'aria-live': 'polite' })
const urgent = el('div', { role: 'alert' })
notices.append(polite, urgent)

/** The place of notices; both parts are there from the start, so that changes are announced. */
export function noticeArea() {
  return notices
}

export function clearNotices() {
  fill(polite)
  fill(urgent)
}

/**
 * @param {HTMLElement} area
 * @param {string} kind
 * @param {string} text
 */
function show(area, kind, text) {
  clearNotices()
  const mark = kind === 'error' ? '✕' : '✓'
  fill(
    area,
    el(
      'div',
      { class: `notice notice-${kind}` },
      el('span', { 'aria-hidden': 'true' }, mark),
      el('p', {}, text),
      el('button', { type: 'button', class: 'quiet', onclick: clearNotices }, 'Dismiss'),
    ),
  )
}

/** @param {string} text */
export function announce(text) {
  show(polite, 'done', text)
}

/** @param {unknown} error */
export function announceError(error) {
  show(urgent, 'error', error instanceof Error ? error.message : String(error))
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} confirm - On the button that does it.
 * @property {{ label: string, value: string, type: string }} [input] - What is still to be said.
 */

/**
 * Asks before something is done. The focus goes back to where it was.
 *
 * @param {Question} question
 * @returns {Promise<string | undefined>} What was typed (empty without `input`); `undefined`: nothing
 *   shall be done.
 */
export function ask({ title, text, confirm, input }) {
  const titleId = uniqueId('dialog')
  const textId = uniqueId('dialog')
  const control =
    input &&
    el('input', { id: uniqueId('dialog'), type: input.type, required: true, autocomplete: 'off' })
  if (input && control) control.value = input.value
  /** @type {string | undefined} */
  let answer
  const dialog = el(
    'dialog',
    { 'aria-labelledby': titleId, 'aria-describedby': textId },
    el(
      'form',
      {
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault()
          answer = control?.value ?? ''
          dialog.close()
        },
      },
      el('h2', { id: titleId }, title),
      el('p', { id: textId }, text),
      control &&
        el(
          'div',
          { class: 'field' },
          el('label', { for: control.id }, input?.label ?? ''),
          control,
        ),
      el(
        'div',
        { class: 'buttons' },
        el(
          'button',
          { type: 'button', autofocus: !control, onclick: () => dialog.close() },
          'Cancel',
        ),
        el('button', { type: 'submit', class: 'danger' }, confirm),
      ),
    ),
  )
  document.body.append(dialog)
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(answer)
    })
    dialog.showModal()
  })
}

/**
 * Asks before something is invalidated or cleared, and says what that would drop.
 *
 * @param {Question} question
 * @param {object} body - Of the invalidation.
 * @param {string} [path]
 */
export async function askToInvalidate(question, body, path = 'api/invalidate') {
  try {
    const { sentence } = await postJson(path, { ...body, dryRun: true })
    return await ask({ ...question, text: `${question.text} ${sentence}` })
  } catch (error) {
    announceError(error)
    return undefined
  }
}
