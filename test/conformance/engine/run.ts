import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  createCaches,
  LocMemCache,
  type Cache,
  type Caches,
  type FragmentMessage,
} from '../../../src/index.js'
import type { CaseRender, EngineInstance, EngineSetup, EngineUnderTest } from './types.js'

/** How a template is rendered: by the engine's synchronous call, or by its asynchronous one. */
export type Kind = 'sync' | 'async'

/** Opens an empty store. */
export type OpenStore = () => Cache | Promise<Cache>

/** Caches over a store, and beside it one that answers at once. */
export async function openCaches(store: OpenStore): Promise<Caches> {
  return createCaches({ default: await store(), local: new LocMemCache() })
}

/** Sets an engine up and uses it; its caches are closed then. */
export async function withEngine(
  engine: EngineUnderTest,
  store: OpenStore,
  setup: Omit<EngineSetup, 'caches'>,
  use: (instance: EngineInstance, caches: Caches) => Promise<void>,
): Promise<void> {
  const caches = await openCaches(store)
  try {
    await use(
      lazily(() => engine.create({ ...setup, caches })),
      caches,
    )
  } finally {
    await caches.close()
  }
}

/** Engines differ in whether a template is compiled where it is given or where it is rendered. */
function lazily(create: () => EngineInstance | Promise<EngineInstance>): EngineInstance {
  let made: EngineInstance | Promise<EngineInstance> | undefined
  return {
    render(template, context) {
      made ??= create()
      assert.ok(!(made instanceof Promise), 'what renders at once has to be made at once')
      return (made.render as NonNullable<EngineInstance['render']>)(template, context)
    },
    async renderAsync(template, context) {
      const instance = await (made ??= create())
      return (instance.renderAsync as NonNullable<EngineInstance['renderAsync']>)(template, context)
    },
  }
}

/** Renders by the call of a kind. */
export async function render(
  instance: EngineInstance,
  kind: Kind,
  context: object,
  template = 'main',
): Promise<string> {
  const call = kind === 'sync' ? instance.render : instance.renderAsync
  return (call as NonNullable<typeof call>)(template, context)
}

/** @throws AssertionError: a render gives something else than it has to. */
export async function check(
  instance: EngineInstance,
  kind: Kind,
  context: object,
  { output, error, bodyRuns }: CaseRender,
  countsBodies = true,
): Promise<void> {
  const rendered = await countBodies(() => render(instance, kind, context).catch(toFailure))
  const { outcome } = rendered
  if (error !== undefined) {
    assert.ok(outcome instanceof Failure, `no error, but ${JSON.stringify(outcome)}`)
    assert.match(String((outcome.error as Error).message), error)
    return
  }
  if (outcome instanceof Failure) throw outcome.error
  assert.equal(outcome, output)
  if (countsBodies && bodyRuns !== undefined) assert.equal(rendered.bodyRuns, bodyRuns, 'bodies')
}

class Failure {
  constructor(readonly error: unknown) {}
}

const toFailure = (error: unknown): Failure => new Failure(error)

/** Runs something and counts the fragments whose body ran meanwhile. */
export async function countBodies<T>(
  action: () => T | Promise<T>,
): Promise<{ outcome: T; bodyRuns: number }> {
  let bodyRuns = 0
  const count = (message: unknown) => {
    const { outcome } = message as FragmentMessage
    if (outcome !== 'hit' && outcome !== 'joined' && outcome !== 'stale') bodyRuns++
  }
  subscribe('fragcache:fragment', count)
  try {
    return { outcome: await action(), bodyRuns }
  } finally {
    unsubscribe('fragcache:fragment', count)
  }
}
