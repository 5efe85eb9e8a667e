/* global make, makeButton, memory, PointerEvent */
/* exported makeInvalidation, targetsOf */

const UNREACHED =
  "The server was not reached. If the site is up, its content security policy lacks connect-src 'self'."

/**
 * Buttons that invalidate. None does so before it has said beside it what it would drop: when the pointer or the focus
 * comes to it, and on a touch screen by the first touch.
 *
 * @param {OverlayData} data
 * @param {readonly (readonly [text: string, body: object])[]} targets - What each button says and posts.
 * @param {() => void} onSaid - Called when what it says may take more room.
 */
function makeInvalidation(data, targets, onSaid) {
  const list = make('ul', 'targets')
  /** The button that has said last what it would drop. @type {HTMLElement | undefined} */
  let told
  /** The one that was asked last. @type {HTMLElement | undefined} */
  let asked

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
    for (const button of list.querySelectorAll('button')) button.disabled = isDisabled
  }

  /** @param {string} text @param {object} body */
  function add(text, body) {
    const note = make('p', 'note')
    note.setAttribute('role', 'status')
    const say = (/** @type {string} */ sentence) => {
      note.textContent = sentence
      onSaid()
    }
    const foretell = async () => {
      asked = button
      const answer = await post({ ...body, dryRun: true })
      if (asked !== button || button.disabled) return
      if (answer.ok) told = button
      say(answer.text)
    }
    const invalidate = async () => {
      disable(true)
      const { ok, text } = await post(body)
      if (ok) memory.set('message', text)
      if (ok && data.page.method === 'GET') return location.reload()
      say(ok ? `${text} Load the page again to see it.` : text)
      disable(false)
    }
    const button = makeButton(text, () => void (told === button ? invalidate() : foretell()))
    for (const event of ['pointerenter', 'focus']) {
      button.addEventListener(event, (event) => {
        // A touch is a press as well.
        const isTouch = event instanceof PointerEvent && event.pointerType === 'touch'
        if (!isTouch && told !== button) void foretell()
      })
    }
    list.append(make('li', '', button, note))
  }

  for (const [text, body] of targets) add(text, body)
  return list
}

/**
 * A fragment and its tags, as targets.
 *
 * @param {FragmentFacts} facts
 * @returns {readonly (readonly [text: string, body: object])[]}
 */
function targetsOf({ caches, name, alias, tags }) {
  if (caches < 0) return []
  return [
    [`Invalidate “${name}”`, { caches, fragment: name, using: alias }],
    ...tags.map((tag) => /** @type {const} */ ([`Invalidate tag “${tag}”`, { caches, tag }])),
  ]
}
