/** Runs the processes over one store, and judges what they saw. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { boundsOf } from './bounds.mjs'
import { judge } from './checker.mjs'
import { nowMs, readHistory, Recorder } from './history.mjs'
import { prepareStore } from './open.mjs'
import { Random } from './random.mjs'
import { SCENARIOS } from './scenarios/index.mjs'

/** More than all that is kept at a time, and so little that the store culls all the time. */
const AMPLE = 10_000
const SCARCE = 20

/** Milliseconds for which a process is stopped: past a lease and past a producer. */
const STOP_MS = 1500

/** Milliseconds between two faults of a kind: most of the time all is well. */
const CALM_MS = [100, 1000]

const READ_AFTER_MS = 150

/**
 * @typedef {object} Row - What came of one store.
 * @property {string} store
 * @property {ReturnType<typeof judge>} verdict
 * @property {import('./checker.d.mts').Event[]} events
 * @property {string} part - `scenarios` or `random`.
 */

/**
 * @param {string} name - Of the store.
 * @param {import('./arguments.d.mts').Plan} plan
 * @param {{ crew: import('./crew.mjs').Worker[], running: import('./stores.mjs').Running, report: (row: Row) => void }} how
 */
export async function conduct(name, plan, { crew: all, running, report }) {
  const { spec } = running
  const isShared = spec.kind !== 'memory'
  const crew = isShared ? all : all.slice(0, 1)
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-chaos-'))
  try {
    await prepareStore(spec)
    const variants = (isShared ? [false, true] : [false]).map((tiered) => ({
      store: tiered ? `tiered ${name}` : name,
      stage: { crew, plan, running, tiered, folder: join(folder, String(tiered)) },
    }))
    // The scenarios first: servers may take some time to recover from what happens at random.
    for (const { store, stage } of isShared ? variants : []) {
      report({ store, part: 'scenarios', ...(await playAll(stage)) })
    }
    for (const { store, stage } of plan.isShort ? variants.slice(0, 1) : variants) {
      if (plan.seconds > 0) report({ store, part: 'random', ...(await workAll(stage)) })
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function playAll({ crew, running, tiered, folder: parent }) {
  const { spec, faults } = running
  const folder = await newFolder(join(parent, 'scenarios'))
  const bounds = boundsOf(spec, { tiered, calm: true })
  const actors = crew.slice(0, 2)
  const opening = { spec, how: { tiered, prefix: `s${Number(tiered)}`, maxEntries: AMPLE }, folder }
  await openAll(actors, opening)
  const playable = Object.entries(SCENARIOS).filter(
    ([, { needs = [], only = spec.kind }]) =>
      only === spec.kind && needs.every((need) => need in faults),
  )
  const settleMs = Math.max(bounds.after, ...Object.values(bounds.handles)) + READ_AFTER_MS
  const signals = join(folder, 'signals')
  const play = async ([scenario]) => {
    const stage = { scenario, spec, folder: signals, settleMs }
    const roles = ['a', 'b']
    await Promise.all(roles.map((role, i) => actors[i].tell('play', { ...stage, role })))
  }
  const over = new AbortController()
  const serving = serveFaults(signals, faults, over.signal)
  try {
    for (const round of roundsOf(playable)) await Promise.all(round.map(play))
  } finally {
    over.abort()
    await serving
  }
  await Promise.all(actors.map((worker) => worker.tell('close')))
  return toVerdict(folder, bounds)
}

/** Scenarios that may be played at the same time. */
function roundsOf(scenarios) {
  const alone = scenarios.filter(([, { alone }]) => alone)
  const others = scenarios.filter(([, { alone }]) => !alone)
  return [
    others.filter(([, { blocks }]) => !blocks),
    others.filter(([, { blocks }]) => blocks),
    ...alone.map((one) => [one]),
  ]
}

/** Does to the store what scenarios ask for. */
async function serveFaults(folder, faults, signal) {
  const done = new Set()
  while (!signal.aborted) {
    await sleep(5)
    const names = existsSync(folder) ? await readdir(folder) : []
    for (const name of names) {
      const [, who, fault] = /^(.*)_fault_(\w+)$/.exec(name) ?? []
      if (fault === undefined || done.has(name)) continue
      done.add(name)
      await faults[fault]()
      await writeFile(join(folder, `${who}_done_${fault}`), '')
    }
  }
}

async function workAll({ crew, plan, running, tiered, folder: parent }) {
  const { spec, faults } = running
  const folder = await newFolder(join(parent, 'random'))
  const maxEntries = plan.faults.includes('cull') ? SCARCE : AMPLE
  const opening = { spec, how: { tiered, prefix: `r${Number(tiered)}`, maxEntries }, folder }
  await openAll(crew, opening)
  const untilMs = nowMs() + plan.seconds * 1000
  const options = { untilMs, lag: plan.faults.includes('lag'), workers: crew.length }
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
  const acts = {
    ...faults,
    kill: async (random) => {
      const worker = random.pick(crew)
      await worker.kill()
      await worker.start()
      await openAll([worker], opening)
      begin(worker)
    },
    stop: async (random) => {
      const worker = random.pick(crew)
      worker.signal('SIGSTOP')
      await sleep(Math.min(STOP_MS, untilMs - nowMs()))
      worker.signal('SIGCONT')
    },
  }
  const recorder = new Recorder(`${folder}/history`, 'conductor')
  const harm = async (names) => {
    const chosen = plan.faults.filter((fault) => names.includes(fault))
    const random = new Random(plan.seed, `${tiered} ${names.join()}`)
    while (chosen.length > 0) {
      await sleep(random.between(...CALM_MS))
      if (nowMs() >= untilMs) break
      const fault = random.pick(chosen)
      const begin = nowMs()
      // Servers in trouble may refuse more of it.
      const text = await acts[fault](random).then(() => undefined, String)
      recorder.add({ kind: 'fault', name: fault, text, begin, end: nowMs() })
    }
  }
  // Memory of one process goes with it.
  const ofProcesses = crew.length > 1 ? [harm(['kill']), harm(['stop'])] : []
  await Promise.all([harm(Object.keys(faults)), ...ofProcesses])
  recorder.flush()
  // Who is killed and comes back begins once more.
  for (let i = 0; i < works.length; i++) await works[i]
  await Promise.all(crew.map((worker) => worker.tell('close')))
  return toVerdict(folder, boundsOf(spec, { tiered, calm: false }))
}

async function newFolder(folder) {
  await mkdir(join(folder, 'history'), { recursive: true })
  return folder
}

async function openAll(workers, opening) {
  await Promise.all(workers.map((worker) => worker.tell('open', opening)))
}

function toVerdict(folder, bounds) {
  const events = readHistory(`${folder}/history`)
  return { events, verdict: judge(events, bounds) }
}
