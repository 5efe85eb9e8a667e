export { registerCache } from './register.js'
export type { HandlebarsCache, HandlebarsTemplate } from './register.js'
export { cacheEngine } from './view-engine.js'
export type { ExpressHandlebarsEngine, HandlebarsViews, HbsEngine } from './view-engine.js'
