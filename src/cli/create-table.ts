import { createCacheTable } from '../backends/database.js'
import { coreOf } from '../backend/core.js'
import { NEEDED_TABLE } from '../backends/database/create-table.js'
import { cachesIn, loadConfig } from './config.js'
import { CommandError } from './faults.js'
import type { CommonOptions } from './session.js'
import {
  EXIT_DONE,
  toJson,
  visible,
  visibleName,
  type CliOutput,
  type ExitCode,
} from './terminal.js'

export interface CreateTableOptions extends CommonOptions {
  readonly dryRun?: boolean | undefined
}

/** Makes the tables of the configuration's database caches that are missing. */
export async function createTables(
  { config, json = false, dryRun = false }: CreateTableOptions,
  { out }: CliOutput,
): Promise<ExitCode> {
  const { exported, path } = await loadConfig('createcachetable', config)
  const caches = cachesIn(exported)
  // Else what is in it is not known here.
  if (caches.length > 0 && !caches.some(([, cache]) => NEEDED_TABLE in cache)) {
    const others = caches.map(
      ([name, cache]) => `${visibleName(name)}: ${coreOf(cache).backendName}`,
    )
    throw new CommandError(
      `createcachetable: there is no DatabaseCache among the caches of ${path} (${others.join(', ')}); no other needs a table`,
    )
  }
  const tables = await createCacheTable(exported, { dryRun })
  if (json) {
    out(toJson({ dryRun, tables }))
    return EXIT_DONE
  }
  for (const { table, existed, sql } of tables) {
    if (existed) out(visible(dryRun ? `-- ${table} exists` : `${table} exists`))
    else out(visible(dryRun ? sql.map((one) => `${one};`).join('\n') : `${table} was created`))
  }
  return EXIT_DONE
}
