/** Point 5: who asks after an invalidation is not given what was begun before it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { firstThen, KINDS, subject } from './subject.mjs'

/** Longer than a round trip. */
const LONG_MS = 400

function scenario(kind) {
  return {
    point: 5,
    name: `who asks for a ${kind} after its tag was invalidated waits for no one who began before`,
    roles: {
      async a(stage) {
        const make = async () => {
          const made = stage.made()
          stage.signal('read')
          await stage.until('asked')
          await sleep(LONG_MS)
          return made
        }
        const entry = subject(stage, kind, firstThen(stage, make), { tags: [stage.tag] })
        const first = stage.world.read(entry)
        await stage.until('invalidated')
        await stage.settle()
        const second = stage.world.read(entry)
        stage.signal('asked')
        await Promise.all([first, second])
      },
      async b(stage) {
        await stage.until('read')
        await stage.invalidateTag()
        stage.signal('invalidated')
      },
    },
  }
}

export const scenarios = Object.fromEntries(KINDS.map((kind) => [`${kind}-joined`, scenario(kind)]))
