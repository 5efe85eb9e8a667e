/** Point 3, by what is inside: an entry depends on what another cache knows of its tags. */
import { firstThen, nameOf, readAgain } from './subject.mjs'

/** A fragment of one cache around one of another. */
function nested(stage, make) {
  const { world, tag, thing } = stage
  const name = nameOf('fragment', thing)
  const inner = { name: `inside-${name}`, timeout: 300, using: 'template_fragments', tags: [tag] }
  const outer = { name, timeout: 300, using: 'default' }
  const { fragments } = world
  const look = async () =>
    JSON.parse(
      await fragments.render(outer, async () => {
        const text = await fragments.render(inner, () =>
          JSON.stringify({ entry: name, ...stage.made() }),
        )
        await make()
        return text
      }),
    )
  return { name, handles: { [thing]: [`tag:${thing}`] }, look }
}

export const scenarios = {
  'nested-in-another-cache': {
    point: 3,
    blocks: true,
    name: 'a tag that another process invalidates wins over a fragment around one of another cache',
    roles: {
      async a(stage) {
        const make = () => {
          stage.signal('read')
          stage.blockUntil('invalidated')
        }
        const entry = nested(stage, firstThen(stage, make))
        await stage.world.read(entry)
        stage.signal('stored')
        await readAgain(stage, entry)
      },
      async b(stage) {
        await stage.until('read')
        await stage.invalidateTag()
        stage.signal('invalidated')
        await stage.until('stored')
        await readAgain(stage, nested(stage, stage.made))
      },
    },
  },
}
