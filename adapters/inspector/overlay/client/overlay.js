/* global OUTCOMES, UNPLACED, addEventListener, CSSStyleSheet, innerHeight, innerWidth, MutationObserver, NodeFilter, Text, duration, make, makeButton, memory, rowsOf, sentenceOf, wordOf */
;(() => {
  /** @typedef {import('../facts.js').OverlayData} OverlayData */
  /** @typedef {import('../facts.js').FragmentFacts} FragmentFacts */
  /** @typedef {{ facts: FragmentFacts, range: Range, box: HTMLElement, chip: HTMLButtonElement, rect: DOMRect | undefined, inset: number, border: number, chipWidth: number }} Outline */

  const source = document.querySelector('script[data-fragcache-overlay]')
  if (source === null) return
  /** @type {OverlayData} */
  const data = JSON.parse(source.textContent ?? '')
  const loadedMs = Date.now()
  // The page's own scripts find it as it is without the overlay.
  source.remove()
  document.currentScript?.remove()

  /** Takes the marks out of the page. @returns {Map<number, Range>} Where they were. */
  function takeMarks() {
    const own = new RegExp(`^(/?)${data.mark} (\\d+)$`)
    /** @type {[Comment, boolean, number][]} */
    const marks = []
    const walker = document.createTreeWalker(document, NodeFilter.SHOW_COMMENT)
    while (walker.nextNode() !== null) {
      const comment = /** @type {Comment} */ (walker.currentNode)
      const found = own.exec(comment.data)
      if (found !== null) marks.push([comment, found[1] === '/', Number(found[2])])
    }
    /** @type {Map<number, Range>} */
    const ranges = new Map()
    for (const [comment, isEnd, id] of marks) {
      const range = ranges.get(id)
      if (!isEnd) {
        const begun = document.createRange()
        begun.setStartAfter(comment)
        ranges.set(id, begun)
      } else range?.setEndBefore(comment)
    }
    // Ranges follow what happens to the page, so nothing has to stay in it.
    /** @type {Set<Node>} */
    const split = new Set()
    for (const [comment] of marks) {
      const { previousSibling: before, nextSibling: after, parentNode: parent } = comment
      comment.remove()
      if (before instanceof Text && after instanceof Text && parent !== null) split.add(parent)
    }
    for (const parent of split) parent.normalize()
    return ranges
  }

  const host = document.createElement('fragcache-overlay')
  const root = host.attachShadow({ mode: 'open' })
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(data.style)
  root.adoptedStyleSheets = [sheet]
  const aside = make('aside')
  aside.setAttribute('aria-label', 'Cache overlay')
  const layer = make('ol', 'layer')
  layer.setAttribute('aria-label', 'Fragments of the page')
  const card = make('div', 'card')
  card.id = 'card'
  card.setAttribute('role', 'group')

  /** @type {Outline[]} */
  const outlines = []
  /** @type {Outline | undefined} */
  let shown
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pending
  /** Whether the focus comes back to where a card was opened from. */
  let isClosing = false

  /** @param {object} body */
  async function post(body) {
    const response = await fetch(data.action, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', [data.tokenHeader]: data.token },
      body: JSON.stringify(body),
    })
    return response.json()
  }

  /** @param {string} text @param {object} body @param {HTMLElement} note @param {HTMLElement} acts */
  function invalidateButton(text, body, note, acts) {
    const button = makeButton(text, () => void invalidate(body, note, acts))
    // What it would drop is said before it is pressed.
    const foretell = async () => {
      const answer = await post({ ...body, dryRun: true }).catch(() => undefined)
      if (answer?.ok === true && !button.disabled) note.textContent = answer.message
    }
    for (const event of ['pointerenter', 'focus']) button.addEventListener(event, foretell)
    return button
  }

  /** @param {object} body @param {HTMLElement} note @param {HTMLElement} acts */
  async function invalidate(body, note, acts) {
    const buttons = [...acts.querySelectorAll('button')]
    for (const button of buttons) button.disabled = true
    let message
    try {
      const answer = await post(body)
      if (answer.ok === true) {
        memory.set('message', answer.message)
        if (data.page.method === 'GET') location.reload()
        else note.textContent = `${answer.message} Load the page again to see it.`
        return
      }
      message = answer.error
    } catch {
      message =
        "The server was not reached. If the site is up, its content security policy lacks connect-src 'self'."
    }
    note.textContent = message
    for (const button of buttons) button.disabled = false
  }

  /** @param {Outline} outline */
  function fillCard({ facts }) {
    const word = make('span', `word ${facts.outcome}`, wordOf(facts))
    const list = make('dl')
    for (const [name, value, isCode] of rowsOf(facts, Date.now() - loadedMs)) {
      list.append(make('dt', '', name), make('dd', isCode === true ? 'mono' : '', value))
    }
    const note = make('p', 'note')
    note.setAttribute('role', 'status')
    const acts = make('div', 'acts')
    if (facts.caches >= 0) {
      const { caches } = facts
      const fragment = { caches, fragment: facts.name, using: facts.alias }
      acts.append(invalidateButton(`Invalidate “${facts.name}”`, fragment, note, acts))
      for (const tag of facts.tags) {
        acts.append(invalidateButton(`Invalidate tag “${tag}”`, { caches, tag }, note, acts))
      }
    }
    const sentence = make('p', 'note', sentenceOf(facts.cameIn, facts.outcome))
    if (facts.why !== undefined) sentence.append(` ${facts.why}`)
    if (!facts.isSure)
      sentence.append(' The same text stands here more than once; this may be another.')
    card.setAttribute('aria-label', `Fragment ${facts.name}`)
    card.replaceChildren(make('p', 'title', word, facts.name), sentence, list, acts, note)
  }

  function placeCard() {
    if (shown?.rect === undefined) return
    const { rect } = shown
    const anchor = shown.chip.getBoundingClientRect()
    const { offsetWidth: width, offsetHeight: height } = card
    // Where it hides nothing of the fragment, if there is such a place.
    const under = [rect.bottom + 4, anchor.bottom + 4]
    const over = [rect.top - 4 - height, anchor.top - 4 - height]
    const fits = (/** @type {number} */ top) => top >= 8 && top + height <= innerHeight - 8
    const top =
      [under[0], over[0], under[1], over[1]].find((at) => at !== undefined && fits(at)) ?? 8
    card.style.left = `${Math.max(Math.min(Math.max(anchor.left, 8), innerWidth - width - 8), 8)}px`
    card.style.top = `${top}px`
  }

  /** @param {Outline} outline */
  function open(outline) {
    clearTimeout(pending)
    if (shown === outline) return
    close()
    shown = outline
    fillCard(outline)
    outline.box.classList.add('marked')
    outline.box.append(card)
    outline.chip.setAttribute('aria-expanded', 'true')
    placeCard()
  }

  function close() {
    clearTimeout(pending)
    if (shown === undefined) return
    const { box, chip } = shown
    const hadFocus = card.contains(root.activeElement)
    shown = undefined
    box.classList.remove('marked')
    chip.setAttribute('aria-expanded', 'false')
    card.remove()
    if (!hadFocus) return
    isClosing = true
    chip.focus()
    isClosing = false
  }

  /** @param {() => void} action @param {number} ms */
  function soon(action, ms) {
    clearTimeout(pending)
    pending = setTimeout(action, ms)
  }

  /** @param {Outline} outline */
  function bringIntoView({ range, rect }) {
    if (rect !== undefined && rect.bottom > 0 && rect.top < innerHeight) return
    const { startContainer: start, startOffset } = range
    const node = start.childNodes[startOffset] ?? start
    const element = node instanceof Element ? node : node.parentElement
    element?.scrollIntoView({ block: 'center' })
    update()
  }

  /** @param {FragmentFacts} facts @param {Range} range */
  function outline(facts, range) {
    const box = make('li', `box ${facts.outcome}`)
    const chip = make('button', 'chip', wordOf(facts))
    chip.type = 'button'
    chip.setAttribute('aria-label', `${wordOf(facts)}: fragment ${facts.name}`)
    chip.setAttribute('aria-expanded', 'false')
    box.append(chip)
    layer.append(box)
    /** @type {Outline} */
    const one = { facts, range, box, chip, rect: undefined, inset: 0, border: 0, chipWidth: 0 }
    chip.addEventListener('focus', () => {
      if (isClosing) return
      bringIntoView(one)
      open(one)
    })
    chip.addEventListener('click', () => open(one))
    box.addEventListener('focusout', (event) => {
      if (event.relatedTarget instanceof Node && box.contains(event.relatedTarget)) return
      if (shown === one) close()
    })
    outlines.push(one)
  }

  /** Chips must not lie on each other: those of what is inside often begin at the same corner. */
  function placeChips() {
    /** @type {{ left: number, top: number, right: number }[]} */
    const taken = []
    const seen = outlines.filter(
      ({ rect }) => rect !== undefined && rect.bottom >= 0 && rect.top <= innerHeight,
    )
    // Measured once, and before anything is moved: each measure after a move is a layout.
    for (const one of seen) {
      one.chipWidth ||= one.chip.offsetWidth
      one.border ||= one.box.clientLeft
    }
    for (const { rect, chip, chipWidth: width, inset, border } of seen) {
      if (rect === undefined) continue
      let left = Math.min(Math.max(rect.left, 0), Math.max(innerWidth - width, 0))
      const top = Math.max(rect.top - 15, 0)
      for (let at = 0; at < taken.length; at++) {
        const other = taken[at]
        if (other === undefined || Math.abs(other.top - top) >= 18) continue
        if (left >= other.right || left + width <= other.left) continue
        left = other.right + 2
        at = -1
        if (left + width > innerWidth) break
      }
      left = Math.min(left, Math.max(innerWidth - width, 0))
      taken.push({ left, top, right: left + width })
      chip.style.left = `${left - rect.left - inset - border}px`
      chip.style.top = `${top - rect.top - inset - border}px`
    }
  }

  function update() {
    if (layer.hidden) return
    const found = outlines.map(({ range }) => range.getBoundingClientRect())
    found.forEach((rect, at) => {
      const one = /** @type {Outline} */ (outlines[at])
      const isSeen = rect.width >= 2 && rect.height >= 2
      one.rect = isSeen ? rect : undefined
      one.box.hidden = !isSeen
      if (!isSeen) return
      const { style } = one.box
      // What has the same edges as what is around it is drawn a little inside.
      const depth = depthOf(one.facts)
      const inset = Math.min(depth * 2, rect.width / 6, rect.height / 6)
      one.inset = inset
      style.left = `${rect.left + inset}px`
      style.top = `${rect.top + inset}px`
      style.width = `${rect.width - 2 * inset}px`
      style.height = `${rect.height - 2 * inset}px`
    })
    placeChips()
    placeCard()
  }

  /** @param {FragmentFacts} facts */
  function depthOf({ around }) {
    let depth = 0
    for (let at = around; at !== undefined; at = data.fragments[at]?.around) depth++
    return depth
  }

  let isScheduled = false
  function schedule() {
    if (isScheduled) return
    isScheduled = true
    requestAnimationFrame(() => {
      isScheduled = false
      update()
    })
  }

  /** @param {PointerEvent} event */
  function onMove(event) {
    if (event.pointerType !== 'mouse' || layer.hidden) return
    const path = event.composedPath()
    if (path.includes(card)) return clearTimeout(pending)
    // What is in use by the keyboard stays.
    if (shown !== undefined && shown.box.contains(root.activeElement)) return
    const own = path.includes(host) ? outlines.find(({ chip }) => path.includes(chip)) : undefined
    const { clientX: x, clientY: y } = event
    const isAt = (/** @type {DOMRect | undefined} */ rect) =>
      rect !== undefined && x >= rect.left && x < rect.right && y >= rect.top && y < rect.bottom
    const isOnBar = path.includes(bar)
    const over = own ?? (isOnBar ? undefined : outlines.findLast(({ rect }) => isAt(rect)))
    if (over === shown) {
      if (over !== undefined) clearTimeout(pending)
    } else if (over !== undefined) soon(() => open(over), 200)
    else if (shown !== undefined) soon(close, 300)
  }

  /** @param {string} outcome @param {string} text */
  const wordFor = (outcome, text) => make('span', `word ${outcome}`, text)

  const bar = make('div', `bar ${data.position}`)
  bar.setAttribute('role', 'group')
  bar.setAttribute('aria-label', 'Cache of this page')

  function fillBar() {
    const { page, fragments, failed } = data
    /** @type {string} */
    const own = page.outcome ?? 'none'
    const row = make('div', 'row')
    row.append(wordFor(own, page.outcome === undefined ? 'page not in a cache' : `page ${own}`))
    const counts = make('ul', 'counts')
    for (const outcome of OUTCOMES) {
      const count =
        fragments.filter((one) => one.outcome === outcome).length +
        (outcome === 'error' ? failed.length : 0)
      if (count > 0) counts.append(make('li', '', wordFor(outcome, `${count} ${outcome}`)))
    }
    if (counts.childElementCount > 0) row.append(counts)
    else row.append(make('span', 'note', 'no fragments'))

    const more = make('div', 'more')
    more.id = 'more'
    more.hidden = memory.get('more') !== 'yes'
    const rows = make('dl')
    /** @param {string} name @param {string | undefined} value @param {boolean} [isCode] */
    const add = (name, value, isCode = false) => {
      if (value !== undefined && value !== '') {
        rows.append(make('dt', '', name), make('dd', isCode ? 'mono' : '', value))
      }
    }
    add('Page', page.outcome === undefined ? 'no cache of responses had to do with it' : own)
    add('Why', page.reason)
    add('Key', page.key, true)
    add('Alias', page.alias)
    add('Status', String(page.status))
    add('Took', duration(page.tookMs))
    add('Cache-Control', page.cacheControl, true)
    add('Cache-Status', page.cacheStatus, true)
    more.append(rows)
    if (page.sentence !== undefined) more.append(make('p', 'note', page.sentence))
    if (page.remedy !== undefined) more.append(make('p', 'note', page.remedy))
    const drawn = new Set(outlines.map(({ facts }) => facts.id))
    const hidden = fragments.filter(({ id }) => !drawn.has(id))
    if (hidden.length + failed.length > 0) {
      const list = make('ul', 'list')
      list.tabIndex = 0
      list.setAttribute('aria-label', 'Fragments without an outline')
      for (const facts of hidden) {
        const why = UNPLACED[facts.unplaced ?? 'hidden'] ?? ''
        list.append(make('li', '', wordFor(facts.outcome, wordOf(facts)), ` ${facts.name}: ${why}`))
      }
      for (const { name } of failed) {
        list.append(make('li', '', wordFor('error', 'error'), ` ${name}: its body threw`))
      }
      more.append(make('p', '', 'Without an outline:'), list)
    }

    const details = makeButton('Details', () => {
      more.hidden = !more.hidden
      details.setAttribute('aria-expanded', String(!more.hidden))
      memory.set('more', more.hidden ? 'no' : 'yes')
    })
    details.setAttribute('aria-expanded', String(!more.hidden))
    details.setAttribute('aria-controls', more.id)
    const toggle = makeButton('Outlines', () => setOutlines(layer.hidden !== false))
    /** @param {boolean} isOn */
    const setOutlines = (isOn) => {
      if (!isOn) close()
      layer.hidden = !isOn
      toggle.setAttribute('aria-pressed', String(isOn))
      memory.set('outlines', isOn ? 'on' : 'off')
      update()
    }
    row.append(toggle, details)
    const note = make('p', 'note', memory.get('message') ?? '')
    note.setAttribute('role', 'status')
    memory.set('message', '')
    bar.append(row, note, more)
    setOutlines(memory.get('outlines') !== 'off')
  }

  const ranges = takeMarks()
  for (const facts of data.fragments) {
    const range = ranges.get(facts.id)
    if (range !== undefined) outline(facts, range)
  }
  aside.append(layer, bar)
  root.append(aside)
  document.documentElement.append(host)
  fillBar()

  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close()
  })
  document.addEventListener('pointermove', onMove, { passive: true })
  addEventListener('scroll', schedule, { capture: true, passive: true })
  for (const name of ['resize', 'load']) addEventListener(name, schedule)
  for (const name of ['load', 'transitionend', 'animationend', 'toggle']) {
    document.addEventListener(name, schedule, { capture: true, passive: true })
  }
  new MutationObserver(schedule).observe(document.documentElement, {
    attributes: true,
    characterData: true,
    childList: true,
    subtree: true,
  })
  const sizes = new ResizeObserver(schedule)
  sizes.observe(document.documentElement)
  if (document.body !== null) sizes.observe(document.body)
  schedule()
})()
