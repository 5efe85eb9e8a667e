/** Processor time of other processes, from /proc. */
import { readdirSync, readFileSync } from 'node:fs'

/** @returns {number[]} The process and all that it started, and so on. */
export function descendants(pid) {
  const pids = [pid]
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry) && ancestors(Number(entry)).includes(pid)) pids.push(Number(entry))
  }
  return pids
}

/**
 * @returns {() => number} Seconds, user and system, of all threads since this call. A process that
 *   ended since counts nothing.
 */
export function stopwatch(pids) {
  const before = pids.map(secondsOf)
  return () =>
    pids.reduce((sum, pid, i) => {
      const now = secondsOf(pid)
      return now === undefined || before[i] === undefined ? sum : sum + now - before[i]
    }, 0)
}

function secondsOf(pid) {
  const stat = statOf(pid)
  if (stat === undefined) return undefined
  return exactSeconds(pid) ?? (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND
}

const TICKS_PER_SECOND = 100

/** Where the kernel counts nanoseconds per thread. */
function exactSeconds(pid) {
  let sum = 0
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
    }
  } catch {
    return undefined
  }
  return sum === 0 ? undefined : sum / 1e9
}

function ancestors(pid) {
  const found = []
  for (let at = pid; at > 1;) {
    const parent = Number(statOf(at)?.[1] ?? 0)
    found.push(parent)
    at = parent
  }
  return found
}

/** What follows the name, which may have spaces and brackets in it. */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
