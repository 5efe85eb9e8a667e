/* global OUTCOMES, addEventListener, CSSStyleSheet, innerHeight, MutationObserver, NodeFilter, Range, Text, groupsOf, innerWidth, labelOf, make, makeBar, makeButton, partsOfFragment, partsOfHole, placeLabel, textsInWindow */
;(() => {
  /** @typedef {{ readonly id: number, readonly name: string, readonly around?: number, readonly kind: string, readonly facts?: FragmentFacts, readonly hole?: HoleFacts }} Item */
  /** @typedef {{ readonly item: Item, readonly group: Group, readonly range: Range, readonly box: HTMLElement, rect: DOMRect | undefined }} Outline */
  /** @typedef {{ readonly members: Outline[], readonly row: HTMLElement, readonly chip: HTMLButtonElement, width: number }} Group */

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

  /** In pixels; see the style sheet. */
  const CHIP_HEIGHT = 18
  const DOT = 14
  /** Between a text and its outline. */
  const ROOM_X = 3
  const ROOM_Y = 1
  /** For what a button of a card says. */
  const ROOM_TO_SAY = 90

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

  /** In the order of the page. @type {Outline[]} */
  const outlines = []
  /** @type {Map<number, Outline>} */
  const byId = new Map()
  /** @type {Group[]} */
  const groups = []
  /** @type {Outline | undefined} */
  let shown
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pending
  /** Whether the focus comes back to where a card was opened from. */
  let isClosing = false

  /** @param {Outline} outline */
  function fillCard({ item, group }) {
    const { members } = group
    const parts =
      item.facts === undefined
        ? partsOfHole()
        : partsOfFragment(data, item.facts, Date.now() - loadedMs, keepInWindow)
    if (members.length > 1) parts.push(stepsFrom(group, shown))
    card.setAttribute('aria-label', item.hole === undefined ? `Fragment ${item.name}` : 'Hole')
    card.replaceChildren(...parts)
  }

  /** Leads from one of equal neighbours to the next. @param {Group} group @param {Outline | undefined} from */
  function stepsFrom({ members }, from) {
    const at = members.findIndex((one) => one === from)
    const step = (/** @type {string} */ text, /** @type {number} */ by) =>
      makeButton(text, () => {
        const next = members[(at + by + members.length) % members.length]
        if (next === undefined) return
        bringIntoView(next)
        open(next)
        const again = [...card.querySelectorAll('button')].find((one) => one.textContent === text)
        again?.focus()
      })
    const where = make('span', 'note', `${at + 1} of ${members.length}`)
    return make('div', 'acts steps', step('Previous', -1), where, step('Next', 1))
  }

  function placeCard() {
    if (shown?.rect === undefined) return
    const { rect } = shown
    const anchor = shown.group.chip.getBoundingClientRect()
    const { offsetWidth: width, offsetHeight: height } = card
    // Where it hides nothing of the fragment, if there is such a place.
    const under = [rect.bottom + 4, anchor.bottom + 4]
    const over = [rect.top - 4 - height, anchor.top - 4 - height]
    const fits = (/** @type {number} */ top) =>
      top >= 8 && top + height + ROOM_TO_SAY <= innerHeight - 8
    const top = [under[0], over[0], under[1], over[1]].find((at) => at !== undefined && fits(at))
    const beside = [rect.right + 4, rect.left - 4 - width].find(
      (at) => at >= 8 && at + width <= innerWidth - 8,
    )
    const left = (top === undefined ? beside : undefined) ?? rect.left
    card.style.left = `${Math.max(Math.min(Math.max(left, 8), innerWidth - width - 8), 8)}px`
    card.style.top = `${top ?? Math.max(8, innerHeight - 8 - height - ROOM_TO_SAY)}px`
  }

  /** A card that says more than before stays where it is, as far as there is room. */
  function keepInWindow() {
    const { top, bottom } = card.getBoundingClientRect()
    card.style.top = `${Math.max(8, Math.min(top, top + innerHeight - 8 - bottom))}px`
  }

  /** @param {Outline} outline */
  function open(outline) {
    clearTimeout(pending)
    if (shown === outline) return
    close()
    shown = outline
    fillCard(outline)
    outline.box.classList.add('marked')
    outline.group.row.append(card)
    outline.group.chip.setAttribute('aria-expanded', 'true')
    placeCard()
  }

  function close() {
    clearTimeout(pending)
    if (shown === undefined) return
    const { box, group } = shown
    const hadFocus = card.contains(root.activeElement)
    shown = undefined
    box.classList.remove('marked')
    group.chip.setAttribute('aria-expanded', 'false')
    isClosing = true
    if (hadFocus) group.chip.focus()
    card.remove()
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

  /** @param {readonly Item[]} items @param {ReadonlyMap<number, Range>} ranges */
  function addGroup(items, ranges) {
    const facts = items.flatMap((one) => (one.facts === undefined ? [] : [one.facts]))
    const isOfHoles = facts.length === 0
    const many = items.length === 1 ? 'hole' : `hole × ${items.length}`
    const worst = isOfHoles ? 'hole' : worstOf(facts)
    const row = make('li', worst)
    const chip = make('button', 'chip', isOfHoles ? many : labelOf(facts))
    chip.type = 'button'
    chip.setAttribute('aria-expanded', 'false')
    row.append(chip)
    layer.append(row)
    /** @type {Group} */
    const group = { members: [], row, chip, width: 0 }
    for (const item of items) {
      const range = ranges.get(item.id)
      if (range === undefined) continue
      const box = make('div', `box ${item.kind}`)
      chip.before(box)
      group.members.push({ item, group, range, box, rect: undefined })
    }
    const first = () => (shown?.group === group ? shown : group.members[0])
    const openFirst = () => {
      const one = first()
      if (one === undefined) return
      bringIntoView(one)
      open(one)
    }
    chip.addEventListener('focus', () => {
      if (!isClosing) openFirst()
    })
    chip.addEventListener('click', openFirst)
    row.addEventListener('focusout', (event) => {
      if (event.relatedTarget instanceof Node && row.contains(event.relatedTarget)) return
      if (shown?.group === group && !isClosing) close()
    })
    groups.push(group)
    for (const one of group.members) byId.set(one.item.id, one)
    outlines.push(...group.members)
  }

  /** @param {readonly FragmentFacts[]} all */
  function worstOf(all) {
    return OUTCOMES.find((outcome) => all.some((one) => one.outcome === outcome)) ?? 'hit'
  }

  /** Labels cover no text of the page, and not each other. */
  function placeChips() {
    const seen = groups.flatMap((group) => {
      const rect = group.members.find(({ rect }) => rect !== undefined && isInWindow(rect))?.rect
      group.row.classList.toggle('away', rect === undefined)
      return rect === undefined ? [] : [{ group, rect }]
    })
    // Measured once, and before anything is moved: each measure after a move is a layout.
    for (const { group } of seen) group.width ||= group.chip.offsetWidth
    /** @type {Area[]} */
    const taken = seen.length === 0 ? [] : [...textsInWindow(), bar.getBoundingClientRect()]
    for (const { group, rect } of seen) {
      const { chip, width } = group
      const whole = placeLabel(rect, width, CHIP_HEIGHT, taken)
      const place = whole ?? placeLabel(rect, DOT, DOT, taken)
      chip.classList.toggle('dot', whole === undefined)
      // Then the outline, the list and the Tab key lead to it.
      chip.classList.toggle('unseen', place === undefined)
      if (place !== undefined) taken.push(place)
      chip.style.left = `${place?.left ?? Math.max(Math.min(rect.left, innerWidth - width), 0)}px`
      chip.style.top = `${place?.top ?? Math.max(rect.top - CHIP_HEIGHT, 0)}px`
    }
  }

  /** @param {DOMRect} rect */
  function isInWindow({ bottom, top }) {
    return bottom >= 0 && top <= innerHeight
  }

  function update() {
    if (layer.hidden) return
    // All is measured before anything is moved: each measure after a move is a layout.
    for (const one of outlines) {
      const rect = one.range.getBoundingClientRect()
      one.rect = rect.width >= 2 && rect.height >= 2 ? rect : undefined
    }
    for (const one of outlines) {
      const { rect, box } = one
      box.hidden = rect === undefined
      if (rect === undefined) continue
      // Beside the text, not on its letters; but within the window.
      const inset = 2 * sameAround(one)
      const left = Math.max(rect.left - ROOM_X + inset, Math.min(rect.left, 0))
      const top = Math.max(rect.top - ROOM_Y + inset, Math.min(rect.top, 0))
      const right = Math.min(rect.right + ROOM_X - inset, Math.max(rect.right, innerWidth))
      const bottom = rect.bottom + ROOM_Y - inset
      box.style.left = `${left}px`
      box.style.top = `${top}px`
      box.style.width = `${Math.max(right - left, 4)}px`
      box.style.height = `${Math.max(bottom - top, 4)}px`
    }
    for (const { row, members } of groups) row.hidden = members.every(({ box }) => box.hidden)
    placeChips()
    placeCard()
  }

  /** How many of those around have the same edges: then it is drawn a little inside. @param {Outline} one */
  function sameAround({ item, rect }) {
    let count = 0
    for (let id = item.around; id !== undefined; id = data.fragments[id]?.around) {
      const outer = byId.get(id)?.rect
      if (rect === undefined || outer === undefined || !isSame(rect, outer)) break
      count++
    }
    return count
  }

  /** @param {DOMRect} one @param {DOMRect} other */
  function isSame(one, other) {
    return (
      Math.abs(one.left - other.left) < 3 &&
      Math.abs(one.right - other.right) < 3 &&
      Math.abs(one.top - other.top) < 3 &&
      Math.abs(one.bottom - other.bottom) < 3
    )
  }

  /** @param {Item} item */
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
    if (shown !== undefined && shown.group.row.contains(root.activeElement)) return
    const own = groups.find(({ chip }) => path.includes(chip))?.members[0]
    const { clientX: x, clientY: y } = event
    const isAt = (/** @type {DOMRect | undefined} */ rect) =>
      rect !== undefined && x >= rect.left && x < rect.right && y >= rect.top && y < rect.bottom
    const isOnBar = path.includes(bar)
    // Of several it is the innermost.
    const at = isOnBar ? [] : outlines.filter(({ rect }) => isAt(rect))
    const over = own ?? at.toSorted((a, b) => depthOf(a.item) - depthOf(b.item)).at(-1)
    if (over === shown) {
      if (over !== undefined) clearTimeout(pending)
    } else if (over !== undefined) soon(() => open(over), 200)
    else if (shown !== undefined) soon(close, 300)
  }

  const ranges = takeMarks()
  /** @type {Item[]} */
  const items = data.fragments.map((facts) => ({ ...facts, kind: facts.outcome, facts }))
  for (const hole of data.holes) {
    items.push({ ...hole, name: '', kind: 'hole', hole })
  }
  const drawn = items.filter(({ id }) => ranges.has(id)).toSorted(inOrder)
  for (const group of groupsOf(drawn)) addGroup(group, ranges)

  /** @param {Item} one @param {Item} other */
  function inOrder(one, other) {
    const [a, b] = [ranges.get(one.id), ranges.get(other.id)]
    return a === undefined || b === undefined ? 0 : a.compareBoundaryPoints(Range.START_TO_START, b)
  }

  /** @param {FragmentFacts} facts */
  function showOf({ id }) {
    const one = byId.get(id)
    return (
      one &&
      (() => {
        bringIntoView(one)
        open(one)
        one.group.chip.focus()
      })
    )
  }

  /** @param {boolean} isOn */
  function setOutlines(isOn) {
    if (!isOn) close()
    layer.hidden = !isOn
    schedule()
  }

  const bar = makeBar(data, { setOutlines, showOf })
  aside.append(layer, bar)
  root.append(aside)
  document.documentElement.append(host)

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
