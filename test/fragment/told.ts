import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach } from 'vitest'
import type { FragmentMessage } from '../../src/index.js'

/** What the channel tells of fragments while a test of this file runs. */
export function fragmentsTold(): {
  readonly messages: FragmentMessage[]
  /** `name:outcome` of each, in order. */
  readonly outcomes: () => string[]
} {
  const messages: FragmentMessage[] = []
  const listen = (message: unknown) => messages.push(message as FragmentMessage)

  beforeEach(() => {
    messages.length = 0
    subscribe('fragcache:fragment', listen)
  })
  afterEach(() => {
    unsubscribe('fragcache:fragment', listen)
  })
  return { messages, outcomes: () => messages.map(({ name, outcome }) => `${name}:${outcome}`) }
}
