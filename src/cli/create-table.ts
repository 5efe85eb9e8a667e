import { createCacheTable } from '../backends/database.js'
import { loadConfig } from './config.js'
import type { CommonOptions } from './session.js'
import { DONE, toJson, visible, type CliOutput, type ExitCode } from './terminal.js'

export interface CreateTableOptions extends CommonOptions {
  readonly dryRun?: boolean | undefined
}

/** Makes the tables of the configuration's database caches that are missing. */
export async function createTables(
  { config, json = false, dryRun = false }: CreateTableOptions,
  { out }: CliOutput,
): Promise<ExitCode> {
  const { exported } = await loadConfig('createcachetable', config)
  const tables = await createCacheTable(exported, { dryRun })
  if (json) {
    out(toJson({ dryRun, tables }))
    return DONE
  }
  for (const { table, existed, sql } of tables) {
    if (existed) out(visible(dryRun ? `-- ${table} is there` : `${table} is there`))
    else out(visible(dryRun ? sql.map((one) => `${one};`).join('\n') : `${table} is made`))
  }
  return DONE
}
