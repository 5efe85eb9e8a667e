/** Point 2: what the store loses makes a miss, and brings nothing back. */
import { firstThen, KINDS, readAgain, subject } from './subject.mjs'

/** As eviction and culling do; `t:` is what tags of the user's begin with. */
async function loseCounter({ world, tag }) {
  for (const alias of world.caches.aliases) {
    await world.caches.get(alias).delete(`fragcache.tag.t:${tag}`, { version: 1 })
  }
}

/** What `a` does whatever was lost: its producers end after that. */
async function makeMeanwhile(stage, options) {
  const makeOf = (kind) => async () => {
    const made = stage.made()
    stage.signal(`read ${kind}`)
    await stage.until('lost')
    return made
  }
  const entries = KINDS.map((kind) => subject(stage, kind, firstThen(stage, makeOf(kind)), options))
  await Promise.all(entries.map((entry) => stage.world.read(entry)))
  stage.signal('stored')
  await Promise.all(entries.map((entry) => readAgain(stage, entry)))
}

/** What `b` does: invalidates while they run, and then it is lost. */
async function loseMeanwhile(stage, options, invalidate, lose) {
  const entries = KINDS.map((kind) => subject(stage, kind, stage.made, options))
  for (const kind of KINDS) await stage.until(`read ${kind}`)
  await invalidate(entries)
  await lose()
  stage.signal('lost')
  await stage.until('stored')
  await Promise.all(entries.map((entry) => readAgain(stage, entry)))
}

export const scenarios = {
  'counter-lost': {
    point: 2,
    name: 'what was invalidated by tag while it was made stays so, though the counter is lost',
    roles: {
      a: (stage) => makeMeanwhile(stage, { tags: [stage.tag] }),
      b: (stage) =>
        loseMeanwhile(
          stage,
          { tags: [stage.tag] },
          () => stage.invalidateTag(),
          () => loseCounter(stage),
        ),
    },
  },
  'removed-and-flushed': {
    point: 2,
    name: 'what was removed while it was made stays so, though the store loses everything',
    needs: ['flush'],
    alone: true,
    roles: {
      a: (stage) => makeMeanwhile(stage, {}),
      b: (stage) =>
        loseMeanwhile(
          stage,
          {},
          (entries) => removeAll(stage, entries),
          () => stage.fault('flush'),
        ),
    },
  },
}

async function removeAll({ world, thing }, entries) {
  for (const { removal } of entries) await world.invalidate(thing, removal)
}
