export { cachePlugin } from './plugin.js'
export type { AdapterOptions, CachePlugin, EtaPlugin, HoleEngine } from './plugin.js'
export { cacheEngine } from './view-engine.js'
export type { EtaViews } from './view-engine.js'
