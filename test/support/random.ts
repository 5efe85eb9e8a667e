import fc from 'fast-check'

/**
 * The cases are the same in each run, so that a commit that passed does not fail by chance. To look
 * further: `FRAGCACHE_SEED=random`, or the seed that a failure told.
 */
const { FRAGCACHE_SEED = '20261122', FRAGCACHE_RANDOM_RUNS } = process.env

fc.configureGlobal(FRAGCACHE_SEED === 'random' ? {} : { seed: Number(FRAGCACHE_SEED) })

/** How many cases a long test makes up; `FRAGCACHE_RANDOM_RUNS=5000`, to look further. */
export const runsOf = (usual: number): number => Number(FRAGCACHE_RANDOM_RUNS ?? usual)

export { fc }
