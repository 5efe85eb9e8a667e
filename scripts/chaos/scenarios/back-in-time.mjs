/** Point 8: a store that comes back as it was some time ago. */
import { setTimeout as sleep } from 'node:timers/promises'
import { KINDS, subject } from './subject.mjs'

/** A process has lost its connection, and needs a moment for another one. */
const READS = 8
const BETWEEN_MS = 100

export const scenarios = {
  'back-in-time': {
    point: 8,
    name: "what was invalidated does not come back with the server's last snapshot",
    needs: ['save', 'crash'],
    alone: true,
    roles: {
      async a(stage) {
        const { world, tag } = stage
        const entries = KINDS.map((kind) => subject(stage, kind, stage.made, { tags: [tag] }))
        const readAll = () => Promise.all(entries.map((entry) => world.read(entry)))
        await readAll()
        await stage.fault('save')
        stage.signal('saved')
        await stage.until('invalidated')
        await stage.settle()
        await readAll()
        await stage.fault('crash')
        for (let i = 0; i < READS; i++) {
          await readAll()
          await sleep(BETWEEN_MS)
        }
      },
      async b(stage) {
        await stage.until('saved')
        await stage.invalidateTag()
        stage.signal('invalidated')
      },
    },
  },
}
