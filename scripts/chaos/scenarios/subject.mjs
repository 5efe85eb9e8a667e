/** The one entry that a scenario is about: a value, a fragment or a page. */
import { dependOn } from '../product.mjs'

export const KINDS = ['value', 'fragment', 'page']

/**
 * @param {import('../stage.mjs').Stage} stage
 * @param {'value' | 'fragment' | 'page'} kind
 * @param {() => object | Promise<object>} make - What is in it, as `stage.made`.
 * @param {{ tags?: unknown, lock?: true | object }} [options] - For all kinds the same.
 * @returns {import('../world.mjs').Entry & { removal: { handle: string, run: () => Promise<unknown> } }}
 */
export function subject(stage, kind, make, options = {}) {
  const { world, thing } = stage
  const name = nameOf(kind, thing)
  const named = async () => ({ entry: name, ...(await make()) })
  const { look, remove } = ways[kind](world, name, named, options)
  const handle = `${kind === 'page' ? 'url' : 'key'}:${name}`
  const handles = { [thing]: [`tag:${thing}`, handle, `stored:${name}`, 'clear:default'] }
  return { name, handles, look, removal: { handle, run: remove } }
}

export function nameOf(kind, thing) {
  return `${kind}-of-${thing}`
}

const ways = {
  value: ({ cache }, name, make, options) => ({
    look: () => cache.getOrSet(name, make, options),
    remove: () => cache.delete(name),
  }),
  fragment: ({ fragments }, name, make, options) => {
    const fragment = { name, timeout: 300, ...options }
    return {
      look: async () =>
        JSON.parse(await fragments.render(fragment, async () => JSON.stringify(await make()))),
      remove: () => fragments.delete(name),
    }
  },
  page: ({ site }, name, make, options) => {
    const { get, invalidate } = site.addPage(`/${name}`, make, options)
    return { look: get, remove: invalidate }
  },
}

/** For a producer: the first time it does as told, after that it makes what is there at once. */
export function firstThen(stage, first) {
  let times = 0
  return async () => (times++ === 0 ? first() : stage.made())
}

/** What most scenarios end with: nobody is given what was made before. */
export async function readAgain(stage, entry) {
  await stage.settle()
  await stage.world.read(entry)
}

export function declare({ tag }) {
  return dependOn([tag])
}
