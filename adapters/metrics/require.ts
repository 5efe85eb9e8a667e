import { createRequire } from 'node:module'

/** Finds packages as this package would: the clients of metrics are in CommonJS, and made at once. */
export const require = createRequire(import.meta.url)
