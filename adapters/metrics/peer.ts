import { dirname, resolve } from 'node:path'
import { isMissing, missingPeer } from '../../src/missing-peer.js'

/**
 * Loads a client of metrics, which is made at once: an `import()` would come too late. It is looked for where the
 * application was started, since this module may be a part of the application's bundle. A bundle hands over what
 * it brought along.
 *
 * @param caller - What was called.
 * @param option - By which it is handed over.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: it is not there.
 */
export function loadPeer(caller: string, name: string, option: string): unknown {
  // Not imported: the lines that ES modules of esbuild begin with often declare the same name.
  const { createRequire } = process.getBuiltinModule('node:module')
  const load = createRequire(resolve('index.js'))
  const started = process.argv[1]
  const folders = [...(started === undefined ? [] : [dirname(resolve(started))]), process.cwd()]
  try {
    return load(load.resolve(name, { paths: folders }))
  } catch (error) {
    if (!isMissing(error, name)) throw error
    throw missingPeer(
      `fragcache/metrics (${caller})`,
      name,
      `; in a bundled application, give the option ${option}`,
    )
  }
}
