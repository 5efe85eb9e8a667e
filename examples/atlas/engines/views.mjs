import { fileURLToPath } from 'node:url'

/** The folder with the templates of an engine. */
export const viewsOf = (engine) => fileURLToPath(new URL(`../views/${engine}/`, import.meta.url))

/** The folder with those of all engines. */
export const views = fileURLToPath(new URL('../views/', import.meta.url))
