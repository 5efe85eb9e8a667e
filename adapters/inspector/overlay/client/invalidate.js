/* global make, makeButton, memory, PointerEvent */
/* exported makeInvalidation */

const UNREACHED =
  "The server was not reached. If the site is up, its content security policy lacks connect-src 'self'."

/**
 * Buttons that invalidate a fragment and its tags. None does so before it has said what it would drop: when the
 * pointer or the focus comes to it, and on a touch screen by the first touch.
 *
 * @param {OverlayData} data
 * @param {FragmentFacts} facts
 */
function makeInvalidation(data, { caches, name, alias, tags }) {
  const note = make('p', 'note')
  note.setAttribute('role', 'status')
  const acts = make('div', 'acts')
  if (caches < 0) return { acts, note }

  /** @param {object} body @returns {Promise<{ ok: boolean, text: string }>} */
  async function post(body) {
    try {
      const response = await fetch(data.action, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', [data.tokenHeader]: data.token },
        body: JSON.stringify(body),
      })
      const { ok, message, error } = await response.json()
      return { ok: ok === true, text: ok === true ? message : error }
    } catch {
      return { ok: false, text: UNREACHED }
    }
  }

  /** @param {boolean} isDisabled */
  function disable(isDisabled) {
    for (const button of acts.querySelectorAll('button')) button.disabled = isDisabled
  }

  /** @param {object} body */
  async function invalidate(body) {
    disable(true)
    const { ok, text } = await post(body)
    if (ok) memory.set('message', text)
    if (ok && data.page.method === 'GET') return location.reload()
    note.textContent = ok ? `${text} Load the page again to see it.` : text
    disable(false)
  }

  /** @param {string} text @param {object} target */
  function add(text, target) {
    const body = { caches, ...target }
    /** What the note says is of this button. */
    const isTold = () => acts.dataset['told'] === text
    const foretell = async () => {
      acts.dataset['asked'] = text
      const answer = await post({ ...body, dryRun: true })
      if (acts.dataset['asked'] !== text || button.disabled) return
      note.textContent = answer.text
      if (answer.ok) acts.dataset['told'] = text
    }
    const button = makeButton(text, () => void (isTold() ? invalidate(body) : foretell()))
    for (const event of ['pointerenter', 'focus']) {
      button.addEventListener(event, (event) => {
        // A touch is a press as well.
        const isTouch = event instanceof PointerEvent && event.pointerType === 'touch'
        if (!isTouch && !isTold()) void foretell()
      })
    }
    acts.append(button)
  }

  add(`Invalidate “${name}”`, { fragment: name, using: alias })
  for (const tag of tags) add(`Invalidate tag “${tag}”`, { tag })
  return { acts, note }
}
