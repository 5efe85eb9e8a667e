/**
 * Measures functions against each other in one run: interleaved rounds, so that what else the
 * machine does falls on all alike, and the median of the per-round ratios.
 */

export const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 25)
const ROUND_MS = Number(process.env.BENCH_ROUND_MS ?? 20)

/** Where results go, so that no engine can leave the work out. */
export const sink = { value: undefined }

/**
 * @param {Record<string, () => unknown>} subjects - The first is the baseline (1.0).
 * @param {(name: string) => void} prepare - Called before a subject's turn, which it is no part of.
 * @returns {Promise<Record<string, { ratio: number, spread: [number, number], ns: number }>>}
 */
export async function compare(subjects, prepare = () => undefined) {
  const names = Object.keys(subjects)
  const loops = {}
  for (const name of names) {
    prepare(name)
    loops[name] = await calibrate(subjects[name])
  }
  await warmUp(names, async (name) => {
    prepare(name)
    const ns = await time(subjects[name], loops[name])
    loops[name] = Math.max(1, Math.round((ROUND_MS * 1e6) / ns))
    return ns
  })
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      prepare(name)
      times[name].push(await time(subjects[name], loops[name]))
    }
  }
  const base = times[names[0]]
  return Object.fromEntries(
    names.map((name) => [name, { ...against(base, times[name]), ns: median(times[name]) }]),
  )
}

/** The median of the ratios of each round, and the quartiles around it. */
export function against(base, times) {
  return summary(times.map((time, i) => time / base[i]))
}

/** What a row shows of the figures of its rounds: the median, and the quartiles around it. */
export function summary(figures) {
  const sorted = [...figures].sort((a, b) => a - b)
  const quarter = Math.floor((sorted.length - 1) / 4)
  return { ratio: median(sorted), spread: [sorted[quarter], sorted.at(-1 - quarter)] }
}

/** Nanoseconds per call in the quickest of many rounds: what else the machine does only ever makes a round slower. */
export async function quickest(subject) {
  let loops
  for (let i = 0; i < 4; i++) loops = await calibrate(subject)
  let least = Infinity
  for (let round = 0; round < 2 * ROUNDS; round++)
    least = Math.min(least, await time(subject, loops))
  return least
}

async function calibrate(subject) {
  let loops = 1
  for (;;) {
    const ns = (await time(subject, loops)) * loops
    if (ns > ROUND_MS * 1e6) return Math.max(1, Math.round((loops * ROUND_MS * 1e6) / ns))
    loops *= ns < ROUND_MS * 1e5 ? 8 : 2
  }
}

/** Nanoseconds of processor time per call: what else the machine does is not counted. */
async function time(subject, loops) {
  const isAsync = subject() instanceof Promise
  const start = process.cpuUsage()
  if (isAsync) for (let i = 0; i < loops; i++) sink.value = await subject()
  else for (let i = 0; i < loops; i++) sink.value = subject()
  const { user, system } = process.cpuUsage(start)
  return ((user + system) * 1000) / loops
}

/**
 * Like {@link compare}, by the wall clock: for what waits for a server, whose time counts too.
 *
 * @param {Record<string, () => Promise<unknown>>} subjects - The first is the baseline (1.0).
 * @returns {Promise<Record<string, Waited>>}
 *
 * @typedef {{ ratio: number, spread: [number, number], us: number, processor: Of }} Waited
 *   Microseconds per call; `processor` is the same of this process's processor time.
 * @typedef {{ ratio: number, spread: [number, number], us: number }} Of
 */
export async function compareWaiting(subjects) {
  const names = Object.keys(subjects)
  const wall = Object.fromEntries(names.map((name) => [name, []]))
  const processor = Object.fromEntries(names.map((name) => [name, []]))
  await warmUp(names, async (name) => (await timeWaiting(subjects[name])).processorUs)
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const times = await timeWaiting(subjects[name])
      wall[name].push(times.wallUs)
      processor[name].push(times.processorUs)
    }
  }
  const figures = (times, name) => ({
    ...against(times[names[0]], times[name]),
    us: median(times[name]),
  })
  return Object.fromEntries(
    names.map((name) => [name, { ...figures(wall, name), processor: figures(processor, name) }]),
  )
}

/** Turns in which nothing got quicker, after which nothing is expected to. */
const IDLE_TURNS = 15

/**
 * Calls all of them in turns until the engine has compiled each for good, which takes a page of 20 fragments two
 * seconds and more: until in many turns none was quicker than in its best before.
 *
 * @param {string[]} names
 * @param {(name: string) => Promise<number>} turn - Calls one for a while. Gives what a call took.
 */
async function warmUp(names, turn) {
  const best = Object.fromEntries(names.map((name) => [name, Infinity]))
  for (let turns = 0, idle = 0; turns < 4 * IDLE_TURNS && idle < IDLE_TURNS; turns++) {
    idle++
    for (const name of names) {
      const took = await turn(name)
      if (took < 0.97 * best[name]) idle = 0
      best[name] = Math.min(best[name], took)
    }
  }
}

async function timeWaiting(subject) {
  const start = process.cpuUsage()
  const startMs = performance.now()
  const endMs = startMs + 3 * ROUND_MS
  let count = 0
  let nowMs
  do {
    sink.value = await subject()
    count++
    nowMs = performance.now()
  } while (nowMs < endMs)
  const { user, system } = process.cpuUsage(start)
  return { wallUs: ((nowMs - startMs) * 1000) / count, processorUs: (user + system) / count }
}

/** Calls it so many times at once, and waits for all. */
export function inFlight(count, call) {
  if (count === 1) return call
  return () => {
    const calls = []
    for (let i = 0; i < count; i++) calls.push(call())
    return Promise.all(calls)
  }
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** A row of the report. `target` is the most that `ratio` may be. */
export function row(name, ratio, target, detail = '') {
  return { name, ratio, target, detail }
}

/**
 * A row that `npm run bench -- --goals` shows too.
 *
 * @param {string} goal - Its number; docs/performance.md lists them.
 * @param {{ ratio: number, spread?: [number, number] }} result - What was measured.
 */
export function goal(goal, name, { ratio, spread }, target, detail = '') {
  return { ...row(name, ratio, target, detail), goal, spread }
}
