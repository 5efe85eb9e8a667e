import { mock } from 'node:test'
import { testBackend } from 'fragcache/testing'
import { MapCache, type Store } from './map-cache.js'

let store: Store = new Map()
let nowMs = Date.now()
mock.method(Date, 'now', () => nowMs)

testBackend('MapCache', {
  reset: () => {
    store = new Map()
  },
  create: (settings) => new MapCache({ ...settings, options: { store } }),
  advance: (seconds) => {
    nowMs = Math.round(nowMs + seconds * 1000)
  },
})
