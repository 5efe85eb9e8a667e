// The API reference, `npm run docs:api`: every subpath of package.json is a module of it.
import { readFileSync } from 'node:fs'
import { Converter } from 'typedoc'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
const modules = Object.entries(manifest.exports)
  .filter(([, target]) => target.types !== undefined)
  .map(([subpath, target]) => ({
    name: `${manifest.name}${subpath.slice(1)}`,
    source: target.types.replace('./dist/', '').replace('.d.ts', '.ts'),
  }))

/** Modules are called what they are imported by. */
function nameModules(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.children) {
      const found = modules.find(
        ({ source }) => source.replace(/(?:\/index)?\.ts$/, '') === module.name,
      )
      if (found === undefined) throw new Error(`${module.name} is no subpath of package.json`)
      module.name = found.name
    }
  })
}

export default {
  name: manifest.name,
  entryPoints: modules.map(({ source }) => source),
  plugin: [nameModules],
  tsconfig: 'tsconfig.build.json',
  // `npm run typecheck` does.
  skipErrorChecking: true,
  out: 'docs/public/api',
  readme: 'none',
  disableSources: true,
  excludeInternal: true,
  excludePrivate: true,
  treatWarningsAsErrors: true,
  validation: { invalidLink: true, notExported: true, notDocumented: true },
  requiredToBeDocumented: [
    'Class',
    'Interface',
    'TypeAlias',
    'Enum',
    'Function',
    'Method',
    'Variable',
  ],
  // What only a backend of one's own meets, and hands on as it came.
  intentionallyNotExported: [
    'src/staleness.ts:Lock',
    'src/stamp.ts:Stamp',
    'src/staleness.ts:ProducerTimeout',
    'src/backend/core.ts:Composition',
    // What types are made from that are exported.
    'src/caches.ts:AliasOf',
    'src/caches.ts:KnowsAliases',
    'src/storable.ts:Kept',
    'src/storable.ts:NotKept',
    'src/storable.ts:Pairs',
    'src/storable.ts:Verdict',
    'adapters/handlebars/view-engine.ts:Done',
    'adapters/metrics/opentelemetry.ts:OpenTelemetryApi',
    'src/fragment/faults.ts:KEYWORDS',
    'src/pages/reasons.ts:LeftReason',
    'src/pages/reasons.ts:PassReason',
    'src/pages/reasons.ts:StaleReason',
    'src/pages/reasons.ts:UnkeptReason',
  ],
}
