import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { createCaches, LocMemCache } from 'fragcache'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import { responseCache } from 'fragcache/express'
import { FileBasedCache } from 'fragcache/file'
import { MemcachedCache } from 'fragcache/memcached'
import express from 'express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Site } from '../support/express.js'

/** As little of a store as an attack needs. */
interface Store {
  readonly set: (key: string, value: string) => unknown
  readonly get?: (key: string) => unknown
}

interface StoreAttack {
  readonly name: string
  readonly about: string
  /** Makes both stores, and tells whether the one that is chosen fell. */
  readonly succeeds: (isOurs: boolean) => Promise<boolean>
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'fragcache-attack-'))
  // A page is stored after it was answered, maybe while its folder is being removed.
  onTestFinished(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
  return path
}

const attacks: readonly StoreAttack[] = [
  {
    name: 'a key that is a path out of the folder',
    about: 'CVE-2020-8159: keys as file paths',
    succeeds: async (isOurs) => {
      const outside = folder()
      const location = join(outside, 'cache')
      mkdirSync(location)
      const simple: Store = {
        set: (key, value) => {
          const path = resolve(location, key)
          mkdirSync(dirname(path), { recursive: true })
          writeFileSync(path, value)
        },
      }
      const store: Store = isOurs ? new FileBasedCache({ location }) : simple
      for (const key of ['../escaped', '..', 'a/../../escaped', join(outside, 'escaped')]) {
        try {
          await store.set(key, 'evil')
        } catch {
          // A refusal is fine.
        }
      }
      return existsSync(join(outside, 'escaped')) || readdirSync(outside).length > 1
    },
  },
  {
    name: 'a URL that is a path out of the folder, as the key of a page',
    about: 'CVE-2020-8159: keys as file paths',
    succeeds: async (isOurs) => {
      const outside = folder()
      const location = join(outside, 'cache')
      mkdirSync(location)
      const app = express()
      if (isOurs) {
        const caches = createCaches({ default: new FileBasedCache({ location }) })
        app.use(responseCache(caches).cacheSite())
      } else {
        app.use((req, _res, next) => {
          writeFileSync(resolve(location, `.${req.path}`), 'page')
          next()
        })
      }
      app.use((_req, res) => void res.end('page'))
      const site = await Site.open(app)
      await site.raw('GET /../escaped HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
      return existsSync(join(outside, 'escaped'))
    },
  },
  {
    name: 'a key that ends the statement and begins another',
    about: 'CVE-2026-45073: SQL in what becomes part of a statement',
    succeeds: async (isOurs) => {
      const database = new Database(':memory:')
      database.exec('CREATE TABLE users (name TEXT)')
      const ours = new DatabaseCache({ location: 'entries', database })
      await createCacheTable(ours)
      const simple: Store = {
        set: (key, value) => {
          database.exec(`INSERT INTO entries VALUES ('${key}', '${value}', '0', 0)`)
        },
      }
      const store: Store = isOurs ? ours : simple
      const columns = database.pragma('table_info(entries)') as unknown[]
      const filling = Array.from({ length: columns.length - 1 }, () => `''`).join()
      const key = `x', ${filling}); DROP TABLE users; --`
      await Promise.resolve(store.set(key, 'evil'))
      return (
        database.prepare(`SELECT 1 FROM sqlite_master WHERE name = 'users'`).get() === undefined
      )
    },
  },
  {
    name: 'a key prefix that ends the statement and begins another',
    about: 'CVE-2026-45073: SQL in what becomes part of a statement',
    succeeds: async (isOurs) => {
      const database = new Database(':memory:')
      database.exec('CREATE TABLE users (name TEXT)')
      const keyPrefix = `x'; DROP TABLE users; --`
      const ours = new DatabaseCache({ location: 'entries', database, keyPrefix })
      await createCacheTable(ours)
      if (isOurs) {
        await ours.set('a', 'b')
        await ours.clear()
      } else {
        database.exec(`DELETE FROM entries WHERE cache_key LIKE '${keyPrefix}%'`)
      }
      return (
        database.prepare(`SELECT 1 FROM sqlite_master WHERE name = 'users'`).get() === undefined
      )
    },
  },
  {
    name: 'a key that ends the command and begins another',
    about: 'CVE-2020-13254: Memcached commands in a key',
    succeeds: async (isOurs) => {
      const commands: string[] = []
      const server = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.on('data', (data) => {
          commands.push(...data.toString('latin1').split('\r\n'))
          socket.write('STORED\r\n')
        })
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const key = 'a 0 0 1\r\nx\r\nset evil 0 0 4\r\nevil\r\n'
      if (isOurs) {
        const cache = new MemcachedCache({ location: `127.0.0.1:${port}` })
        await cache.set(key, 'value').catch(() => undefined)
        await cache.get(key).catch(() => undefined)
        await cache.close()
      } else {
        const socket = connect(port, '127.0.0.1')
        socket.write(`set ${key} 0 0 5\r\nvalue\r\n`)
        await once(socket, 'data')
        socket.destroy()
      }
      server.close()
      return commands.some((command) => command.startsWith('set evil'))
    },
  },
  {
    name: 'a key that every object has',
    about: 'prototype keys',
    succeeds: async (isOurs) => {
      const entries: Record<string, unknown> = {}
      const simple: Store = {
        set: (key, value) => (entries[key] = value),
        get: (key) => entries[key],
      }
      const store: Store = isOurs ? new LocMemCache() : simple
      for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
        if ((await store.get?.(key)) !== undefined) return true
        await store.set(key, 'x')
        if ((await store.get?.(key)) !== 'x') return true
      }
      return ({} as { x?: unknown }).x !== undefined
    },
  },
]

describe('what keys are made of', () => {
  it.each(attacks)('withstands $name ($about)', async ({ succeeds }) => {
    expect(await succeeds(true)).toBe(false)
  })

  it.each(attacks)('a simple store falls for $name', async ({ succeeds }) => {
    expect(await succeeds(false)).toBe(true)
  })
})
