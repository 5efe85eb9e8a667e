/** Point 6: what removes an entry wins over who is making it, in whichever process. */
import { firstThen, readAgain, subject } from './subject.mjs'

const removals = {
  'value-deleted': { kind: 'value', way: (_, { removal }) => removal },
  'fragment-deleted': { kind: 'fragment', way: (_, { removal }) => removal },
  'page-invalidated': { kind: 'page', way: (_, { removal }) => removal },
  'value-expired': {
    kind: 'value',
    way: ({ world }, { name, removal }) => ({ ...removal, run: () => world.cache.expire(name) }),
  },
  'value-cleared': {
    kind: 'value',
    way: ({ world }) => ({ handle: 'clear:default', run: () => world.cache.clear() }),
    alone: true,
  },
}

function scenario(name, { kind, way, alone = false }) {
  return {
    point: 6,
    name: `a running producer does not bring back a ${name.replace('-', ' that another process ')}`,
    alone,
    roles: {
      async a(stage) {
        const make = async () => {
          const made = stage.made()
          stage.signal('read')
          await stage.until('removed')
          return made
        }
        const entry = subject(stage, kind, firstThen(stage, make))
        await stage.world.read(entry)
        stage.signal('stored')
        await readAgain(stage, entry)
      },
      async b(stage) {
        const entry = subject(stage, kind, stage.made)
        await stage.until('read')
        await stage.world.invalidate(stage.thing, way(stage, entry))
        stage.signal('removed')
        await stage.until('stored')
        await readAgain(stage, entry)
      },
    },
  }
}

export const scenarios = Object.fromEntries(
  Object.entries(removals).map(([name, removal]) => [name, scenario(name, removal)]),
)
