/** Point 9: nobody waits for ever for another one's producer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { subject } from './subject.mjs'

const PRODUCER_TIMEOUT_MS = 300
const PATIENCE_MS = 1500

export const scenarios = {
  'hanging-producer': {
    point: 9,
    name: 'a producer that hangs keeps nobody from a value that another process has stored',
    roles: {
      async a(stage) {
        const { world } = stage
        const options = { producerTimeoutMs: PRODUCER_TIMEOUT_MS }
        const hang = () => {
          stage.signal('hangs')
          return new Promise(() => undefined)
        }
        const entry = subject(stage, 'value', hang, options)
        // What becomes of the one who began it is not looked at here.
        world.look(entry).catch(() => stage.signal('hangs'))
        await stage.until('set')
        await stage.settle()
        const given = world.look(entry).then(({ numbers }) => numbers[stage.thing])
        const number = await Promise.race([given, sleep(PATIENCE_MS)]).catch(String)
        if (number !== 1) world.broken(`${entry.name} gave ${number} in ${PATIENCE_MS} ms`, entry)
      },
      async b(stage) {
        const { world, thing } = stage
        const { name } = subject(stage, 'value', stage.made)
        await stage.until('hangs')
        world.truth.raise(thing)
        await world.cache.set(name, { entry: name, ...stage.made() })
        stage.signal('set')
      },
    },
  },
}
