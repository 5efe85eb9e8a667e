import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, it, vi } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import { testBackend } from '../conformance/backend-suite.js'
import { SteppedClock } from '../support/clock.js'
import { entryPath } from '../support/file-location.js'

// Keys that are not portable are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

let folder = ''
const clock = new SteppedClock()

testBackend(
  'FileBasedCache',
  {
    reset: async () => {
      folder = await mkdtemp(join(tmpdir(), 'fragcache-suite-'))
      clock.start()
    },
    create: (settings) =>
      new FileBasedCache({
        ...settings,
        location: join(folder, 'cache'),
        options: { maxEntries: 2000 },
      }),
    advance: clock.advance,
    // They make no difference to a file, which is named by a hash of its stored key. Prefixes and
    // functions beside each other are in the suite's own section on what is separate.
    variants: ['plain'],
    damage: (storedKey, bytes) => writeFile(entryPath(join(folder, 'cache'), storedKey), bytes),
    release: async () => {
      clock.stop()
      // What runs in the background may still write.
      await rm(folder, { recursive: true, maxRetries: 10 })
    },
  },
  { describe, it },
)
