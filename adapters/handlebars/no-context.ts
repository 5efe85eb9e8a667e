import type { Container, Program } from './engine.js'

const WITHOUT = Symbol('fragcache.withoutContext')

interface Without {
  readonly context: unknown
}

type Marked = Program & { [WITHOUT]?: Without | undefined }

/**
 * The container for code that runs in a context: where there is none, the blocks that it makes know of that. Their
 * helpers are given an empty object instead, which is also the real context of the blocks inside another helper's
 * block.
 */
export function containerFor(container: Container, context: unknown): Container {
  if (context !== undefined && context !== null) return container
  const without: Without = { context }
  return Object.create(container, {
    program: {
      value: (...args: Parameters<Container['program']>) => {
        const body: Marked = container.program(...args)
        body[WITHOUT] = without
        return body
      },
    },
  }) as Container
}

/** Forgets what was noted of a block: Handlebars makes some once and gives them to all. */
export function beginBlock(body: Marked): void {
  if (body[WITHOUT] !== undefined) body[WITHOUT] = undefined
}

/**
 * The context of the code that a block is in.
 *
 * @param given - What its helper was given as that.
 */
export function contextAround(body: Marked, given: unknown): unknown {
  const without = body[WITHOUT]
  return without === undefined ? given : without.context
}
