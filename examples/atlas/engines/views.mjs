import { fileURLToPath } from 'node:url'

/** The folder with the templates of an engine. */
export const viewsOf = (engine) => fileURLToPath(new URL(`../views/${engine}/`, import.meta.url))
