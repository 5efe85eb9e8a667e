/**
 * Measures functions against each other in one run: interleaved rounds, so that what else the
 * machine does falls on all alike, and the median of the per-round ratios.
 */

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 25)
const ROUND_MS = Number(process.env.BENCH_ROUND_MS ?? 20)

/** Where results go, so that no engine can leave the work out. */
export const sink = { value: undefined }

/**
 * @param {Record<string, () => unknown>} subjects - The first is the baseline (1.0).
 * @param {(name: string) => void} prepare - Called before a subject's turn, which it is no part of.
 * @returns {Promise<Record<string, { ratio: number, ns: number }>>}
 */
export async function compare(subjects, prepare = () => undefined) {
  const names = Object.keys(subjects)
  const loops = {}
  for (const name of names) {
    prepare(name)
    // Until the engine has compiled it for good.
    for (let i = 0; i < 4; i++) loops[name] = await calibrate(subjects[name])
  }
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      prepare(name)
      times[name].push(await time(subjects[name], loops[name]))
    }
  }
  const base = times[names[0]]
  return Object.fromEntries(
    names.map((name) => [
      name,
      {
        ratio: median(times[name].map((ns, i) => ns / base[i])),
        ns: median(times[name]),
      },
    ]),
  )
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
 * @returns {Promise<Record<string, { ratio: number, us: number }>>} Microseconds per call.
 */
export async function compareWaiting(subjects) {
  const names = Object.keys(subjects)
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let i = 0; i < 3; i++) for (const name of names) await timeWaiting(subjects[name])
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      times[name].push(await timeWaiting(subjects[name]))
    }
  }
  const base = times[names[0]]
  return Object.fromEntries(
    names.map((name) => [
      name,
      { ratio: median(times[name].map((us, i) => us / base[i])), us: median(times[name]) },
    ]),
  )
}

async function timeWaiting(subject) {
  const startMs = performance.now()
  const endMs = startMs + 3 * ROUND_MS
  let count = 0
  let nowMs
  do {
    sink.value = await subject()
    count++
    nowMs = performance.now()
  } while (nowMs < endMs)
  return ((nowMs - startMs) * 1000) / count
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
