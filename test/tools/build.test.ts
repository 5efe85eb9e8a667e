import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { replaceFolder } from '../../scripts/build.mjs'

describe('builds that end at the same time', () => {
  it('leave one of them whole, and nothing beside it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fragcache-build-'))
    const dist = join(folder, 'dist')
    try {
      const builds = Array.from({ length: 20 }, async (_, number) => {
        const fresh = join(folder, `${number}.new`)
        await mkdir(fresh)
        for (const file of ['a.js', 'b.js']) await writeFile(join(fresh, file), String(number))
        await replaceFolder(fresh, dist, join(folder, `${number}.old`))
      })
      await Promise.all(builds)
      expect(await readdir(folder)).toEqual(['dist'])
      const texts = ['a.js', 'b.js'].map((file) => readFile(join(dist, file), 'utf8'))
      expect(new Set(await Promise.all(texts)).size).toBe(1)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
