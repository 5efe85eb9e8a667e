/** Has the processes read and invalidate at random, while harm is done to them and to the servers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { boundsOf } from './bounds.mjs'
import { STOP_MS } from './faults.mjs'
import { nowMs, Recorder } from './history.mjs'
import { AMPLE, newWorld, SCARCE, toVerdict } from './opening.mjs'
import { Random } from './random.mjs'

/** Milliseconds between two faults of a kind. */
const CALM_MS = [100, 1000]

/**
 * How many times as long as it took the servers are left alone after a fault: most calls are to succeed,
 * since those that fail show nothing.
 */
const CALM_TIMES = 4

/** @param {import('./conductor.mjs').Variant} variant */
export async function disturb(variant) {
  const { crew, plan, running, tiered } = variant
  const maxEntries = plan.faults.includes('cull') ? SCARCE : AMPLE
  const { folder, world, opening } = await newWorld(variant, {
    part: 'random',
    maxEntries,
    timeLimitMs: 1000,
  })
  const open = (worker) => worker.tell('open', { ...opening, clockOffsetMs: worker.clockOffsetMs })
  await Promise.all(crew.map(open))
  const options = { world, lag: plan.faults.includes('lag'), workers: crew.length }
  const works = []
  const begin = (worker) => {
    const work = worker.tell('work', options).catch((error) => {
      if (!error.message.endsWith('SIGKILL')) throw error
    })
    // It is waited for at the end.
    work.catch(() => undefined)
    works.push(work)
  }
  crew.forEach(begin)
  const over = new AbortController()
  const ofProcesses = {
    kill: async (random) => {
      const worker = random.pick(crew)
      await worker.kill()
      await worker.start()
      await open(worker)
      begin(worker)
    },
    stop: async (random) => {
      const worker = random.pick(crew)
      worker.signal('SIGSTOP')
      await pause(STOP_MS, over.signal)
      worker.signal('SIGCONT')
    },
  }
  const recorder = new Recorder(`${folder}/history`, 'conductor')
  const harm = (acts) => {
    const faults = plan.faults.filter((fault) => fault in acts)
    const random = new Random(plan.seed, `${tiered} ${Object.keys(acts).join()}`)
    const act = async () => {
      const name = random.pick(faults)
      const begin = nowMs()
      // Servers in trouble may refuse more of it.
      const text = await acts[name](random).then(() => undefined, String)
      recorder.add({ kind: 'fault', name, text, begin, end: nowMs() })
    }
    return { isAny: faults.length > 0, random, act }
  }
  // Memory of one process goes with it.
  const { kill, stop } = ofProcesses
  const harming = crew.length > 1 ? [{ kill }, { stop }] : []
  const harmed = harming.map((acts) => keepHarming(harm(acts), over.signal))
  await harmServers(harm(running.faults), plan.seconds * 1000)
  over.abort()
  await Promise.all(harmed)
  recorder.flush()
  await Promise.all(crew.map((worker) => worker.tell('finish', { world })))
  for (const work of works) await work
  await Promise.all(crew.map((worker) => worker.tell('close', { world })))
  return toVerdict({ folder }, boundsOf(running.spec, { tiered, calm: false }))
}

/** For as long as was asked for; the time that faults take is not part of it. */
async function harmServers({ isAny, random, act }, wellMs) {
  let calmMs = random.between(...CALM_MS)
  for (let leftMs = wellMs; ; leftMs -= calmMs) {
    if (!isAny || calmMs >= leftMs) return sleep(leftMs)
    await sleep(calmMs)
    const begin = nowMs()
    await act()
    calmMs = Math.max(random.between(...CALM_MS), CALM_TIMES * (nowMs() - begin))
  }
}

async function keepHarming({ isAny, random, act }, signal) {
  while (isAny) {
    await pause(random.between(...CALM_MS), signal)
    if (signal.aborted) return
    await act()
  }
}

/** Ends early where there is nothing more to do. */
function pause(ms, signal) {
  return sleep(ms, undefined, { signal }).catch(() => undefined)
}
