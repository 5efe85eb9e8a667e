import { openBetterSqlite3, openMysql, openPostgres, type OpenDatabase } from './databases.js'
import { sharedServer } from './servers.js'

const postgres = await sharedServer('postgres')
const mysql = await sharedServer('mysql')

/** A database of each kind, and how it is opened; `undefined`: its server is not installed. */
export const sqlDatabases: readonly (readonly [string, (() => OpenDatabase) | undefined])[] = [
  ['SQLite', () => openBetterSqlite3()],
  ['PostgreSQL', postgres && (() => openPostgres(postgres.url))],
  ['MariaDB', mysql && (() => openMysql(mysql.url))],
]
