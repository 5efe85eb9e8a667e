/** Point 1, by how often something is made: under a lock one process does so for all. */
import { setTimeout as sleep } from 'node:timers/promises'
import { KINDS, subject } from './subject.mjs'

const ROLES = ['a', 'b', 'c', 'd']

/** Longer than it takes until all have asked. */
const MAKING_MS = 150

const TRIES = 20
const BETWEEN_TRIES_MS = 250

/** When it is not there yet, and when it was invalidated. */
const TIMES = [1, 2]

async function askTogether(stage, kind, role) {
  const { world, thing, tag } = stage
  const makings = `makings-of-${thing}`
  const make = async () => {
    const making = world.truth.raise(makings)
    const made = stage.made()
    await sleep(MAKING_MS)
    return { ...made, making }
  }
  const entry = subject(stage, kind, make, { tags: [tag], lock: true })
  const given = []
  const look = async () => {
    const made = await entry.look()
    given.push(made.making)
    return made
  }
  const meet = async (where) => {
    stage.signal(`${role} ${where}`)
    for (const other of ROLES) await stage.until(`${other} ${where}`)
  }
  for (const time of TIMES) {
    await meet(`before ${time}`)
    await world.read({ ...entry, look })
    await meet(`after ${time}`)
    if (role !== 'a' || time === TIMES.at(-1)) continue
    // One that failed promises nothing.
    for (let tries = 0; tries < TRIES && !(await stage.invalidateTag()); tries++) {
      await sleep(BETWEEN_TRIES_MS)
    }
    await stage.settle()
  }
  const wanted = TIMES.join()
  if (given.join() !== wanted) {
    world.broken(`${role} was given making ${given.join()} instead of ${wanted}`, entry)
  }
  const made = world.truth.read(makings)
  if (role === 'a' && made !== TIMES.length) {
    world.broken(`${entry.name} was made ${made} times instead of ${TIMES.length}`, entry)
  }
}

function scenario(kind) {
  return {
    point: 1,
    name: `a ${kind} with lock: true that four processes ask for at once is made once, for all`,
    roles: Object.fromEntries(
      ROLES.map((role) => [role, (stage) => askTogether(stage, kind, role)]),
    ),
  }
}

export const scenarios = Object.fromEntries(
  KINDS.map((kind) => [`${kind}-one-maker`, scenario(kind)]),
)
