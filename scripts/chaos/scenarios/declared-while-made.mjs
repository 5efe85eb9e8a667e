/** Points 1, 3 and 4: tags that are not declared in advance. */
import { declare, firstThen, KINDS, readAgain, subject } from './subject.mjs'

const ways = {
  'before-reading': {
    point: 1,
    sentence: 'that depended on it before reading',
    make: async (stage) => {
      declare(stage)
      return readWhileInvalidated(stage)
    },
  },
  'at-once': {
    point: 3,
    blocks: true,
    sentence: 'that depended on it and read at once, with no answer from the store in between',
    make: async (stage) => {
      declare(stage)
      const made = stage.made()
      stage.signal('read')
      stage.blockUntil('invalidated')
      return made
    },
  },
  'after-reading': {
    point: 3,
    sentence: 'that depended on it after reading',
    make: async (stage) => {
      const made = await readWhileInvalidated(stage)
      declare(stage)
      return made
    },
  },
}

async function readWhileInvalidated(stage) {
  const made = stage.made()
  stage.signal('read')
  await stage.until('invalidated')
  return made
}

function scenario(kind, point, sentence, make, options = () => ({})) {
  return {
    point,
    name: `a tag that another process invalidates wins over a ${kind} ${sentence}`,
    roles: {
      async a(stage) {
        const entry = subject(
          stage,
          kind,
          firstThen(stage, () => make(stage)),
          options(stage),
        )
        await stage.world.read(entry)
        stage.signal('stored')
        await readAgain(stage, entry)
      },
      async b(stage) {
        await stage.until('read')
        await stage.invalidateTag()
        stage.signal('invalidated')
        await stage.until('stored')
        await readAgain(stage, subject(stage, kind, stage.made, options(stage)))
      },
    },
  }
}

export const scenarios = {
  ...Object.fromEntries(
    KINDS.flatMap((kind) =>
      Object.entries(ways).map(([name, { point, blocks, sentence, make }]) => [
        `${kind}-declared-${name}`,
        { ...scenario(kind, point, sentence, make), blocks },
      ]),
    ),
  ),
  'page-tag-function': scenario(
    'page',
    4,
    'whose tags a function gives',
    readWhileInvalidated,
    ({ tag }) => ({ tags: () => [tag] }),
  ),
}
