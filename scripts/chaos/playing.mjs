/** Has the processes play the scenarios over a store, by itself and behind a tier at the same time. */
import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { boundsOf } from './bounds.mjs'
import { AMPLE, newWorld, toVerdict } from './opening.mjs'
import { SCENARIOS } from './scenarios/index.mjs'

/** As many as the roles of a scenario. */
const ACTORS = 4

/** Between the first roles of two variants, so that none has to wait for the other's. */
const ACTORS_APART = 2

const READ_AFTER_MS = 150

/** @param {readonly import('./conductor.mjs').Variant[]} variants - Of one store. */
export async function playAll(variants) {
  const troupes = await Promise.all(variants.map(toTroupe))
  const over = new AbortController()
  const serving = troupes.map(({ signals, faults }) => serveFaults(signals, faults, over.signal))
  try {
    for (const round of roundsOf(troupes)) await Promise.all(round.map(play))
  } finally {
    over.abort()
    await Promise.all(serving)
  }
  await Promise.all(
    troupes.flatMap(({ actors, world }) => actors.map((actor) => actor.tell('close', { world }))),
  )
  return troupes.map(({ folder, bounds }) => toVerdict({ folder }, bounds))
}

async function toTroupe(variant, index) {
  const { crew, running, tiered } = variant
  const { spec, faults } = running
  const actors = crew.slice(0, ACTORS)
  const { folder, world, opening } = await newWorld(variant, {
    part: 'scenarios',
    maxEntries: AMPLE,
    // No scenario is about slow servers, and all are played at once.
    timeLimitMs: 2000,
  })
  await Promise.all(actors.map((actor) => actor.tell('open', opening)))
  const bounds = boundsOf(spec, { tiered, calm: true })
  const settleMs = Math.max(bounds.after, ...Object.values(bounds.handles)) + READ_AFTER_MS
  const signals = join(folder, 'signals')
  const first = index * ACTORS_APART
  return { actors, first, folder, world, bounds, spec, tiered, faults, settleMs, signals }
}

async function play({ troupe, scenario, roles }) {
  const { actors, first, world, spec, tiered, settleMs, signals } = troupe
  const stage = { world, scenario, tiered, spec, folder: signals, settleMs }
  await Promise.all(
    Object.keys(roles).map((role, i) =>
      actors[(first + i) % actors.length].tell('play', { ...stage, role }),
    ),
  )
}

/** Scenarios that may be played at the same time. */
function roundsOf(troupes) {
  const all = troupes.flatMap((troupe) => playableBy(troupe))
  const alone = all.filter(({ alone }) => alone)
  const others = all.filter(({ alone }) => !alone)
  return [
    others.filter(({ blocks }) => !blocks),
    others.filter(({ blocks }) => blocks),
    ...alone.map((one) => [one]),
  ]
}

function playableBy(troupe) {
  const { spec, faults } = troupe
  return Object.entries(SCENARIOS)
    .filter(
      ([, { needs = [], only = spec.kind, current }]) =>
        only === spec.kind && needs.every((need) => need in faults) && !(current && spec.lags),
    )
    .map(([scenario, { alone, blocks, roles }]) => ({ troupe, scenario, alone, blocks, roles }))
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
