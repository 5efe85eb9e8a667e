/** Point 7: who began earlier and ends later overwrites nothing. */
import { firstThen, KINDS, readAgain, subject } from './subject.mjs'

/** Seconds: who waits gives up soon, and a lease does not last until its holder is done. */
const LOCK = { wait: 0.2, lease: 0.3 }

/** So often something is read until it is found. */
const MAX_MAKINGS = 10

function passedOver(kind) {
  return {
    point: 7,
    name: `the holder of an ended lease does not overwrite a ${kind} that was made after it`,
    roles: {
      async a(stage) {
        const make = async () => {
          const made = stage.made()
          stage.signal('read')
          await stage.until('stored')
          return made
        }
        const entry = subject(stage, kind, firstThen(stage, make), { lock: LOCK })
        await stage.world.read(entry)
        stage.signal('late')
        await readAgain(stage, entry)
      },
      async b(stage) {
        const { world, thing } = stage
        const entry = subject(stage, kind, stage.made, { lock: LOCK })
        await stage.until('read')
        const number = world.truth.raise(thing)
        await world.look(entry)
        // What was given may not have been kept, what was read again was.
        const { numbers } = await world.look(entry)
        const handle = `stored:${entry.name}`
        await world.promise({ thing, number: Math.min(number, numbers[thing]), handle }, () => {})
        stage.signal('stored')
        await stage.until('late')
        await readAgain(stage, entry)
      },
    },
  }
}

const setMeanwhile = {
  point: 7,
  name: 'a running producer does not overwrite a value that another process sets',
  roles: {
    async a(stage) {
      const make = async () => {
        const made = stage.made()
        stage.signal('read')
        await stage.until('set')
        return made
      }
      const entry = subject(stage, 'value', firstThen(stage, make))
      await stage.world.read(entry)
      stage.signal('stored')
      await readAgain(stage, entry)
    },
    async b(stage) {
      const { world, thing } = stage
      const entry = subject(stage, 'value', stage.made)
      await stage.until('read')
      const handle = `stored:${entry.name}`
      await world.invalidate(thing, {
        handle,
        run: () => world.cache.set(entry.name, { entry: entry.name, ...stage.made() }),
      })
      stage.signal('set')
      await stage.until('stored')
      await readAgain(stage, entry)
    },
  },
}

function deadEntry(kind) {
  return {
    point: 7,
    name: `a ${kind} that was invalidated while it was made does not destroy the one made after it`,
    roles: {
      async a(stage) {
        let times = 0
        const make = async () => {
          const made = stage.made()
          if (times++ > 0) return made
          stage.signal('read')
          await stage.until('stored')
          return made
        }
        const entry = subject(stage, kind, make, { tags: [stage.tag] })
        await stage.world.read(entry)
        stage.signal('late')
        await readAgain(stage, entry)
        if (times > 1) stage.world.broken(`${entry.name} was made again`, entry)
      },
      async b(stage) {
        const { world } = stage
        let times = 0
        const make = async () => {
          times++
          return stage.made()
        }
        const entry = subject(stage, kind, make, { tags: [stage.tag] })
        await stage.until('read')
        await stage.invalidateTag()
        // A page is answered before it is stored: it is once somebody finds it.
        let made
        do {
          made = times
          await world.read(entry)
        } while (times > made && times < MAX_MAKINGS)
        if (times > made) world.broken(`${entry.name} is not kept`, entry)
        stage.signal('stored')
        await stage.until('late')
        await readAgain(stage, entry)
        if (times > made) world.broken(`${entry.name} was made again`, entry)
      },
    },
  }
}

export const scenarios = {
  ...Object.fromEntries(KINDS.map((kind) => [`${kind}-passed-over`, passedOver(kind)])),
  'value-set-meanwhile': setMeanwhile,
  ...Object.fromEntries(KINDS.map((kind) => [`${kind}-dead-entry`, deadEntry(kind)])),
}
