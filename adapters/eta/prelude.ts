import { arePagesWatched } from '../../src/fragment/personal.js'
import { FINISH } from './rewrite.js'
import { RUNTIME } from './runtime-name.js'
import type { EtaConfig } from './types.js'

const LAYOUT = '\nfunction layout(path, data) {'
const BLOCKS = ['function block(name,fn){if(', 'async function blockAsync(name,fn){if(']
const INCLUDE = '\nlet include = ('
/** What a template hands on to what it includes: its own options, and what page it is of. */
const OPTIONS = `${RUNTIME}Options`
/** The plugin is reached by the configuration, so that it lives as long as the engine. */
const FIND = 'this.config.plugins.find((plugin)=>plugin.fragcache!==undefined)'
const PLUGIN = `${RUNTIME}Plugin`
const EPILOGUE = '\nif (__eta.layout) {'
const RETURN = '\nreturn __eta.res;'

/**
 * Puts the run time into the code of a template that has cache tags.
 *
 * @param isTold - Whether the application has said what differs per visitor in templates.
 * @throws Error: Eta makes its code in a way that this package does not know.
 */
export function addRuntime(code: string, config: EtaConfig, isTold: boolean): string {
  const header = config.functionHeader.length
  const body = bodyOf(code)
  if (!code.includes(`${RUNTIME}.`)) {
    if (INCLUDES.test(body)) return passOn(giveLayout(code, config), config, body)
    // Otherwise it is left as it is.
    return isTold || arePagesWatched() ? watchAlone(code, config) : code
  }
  const layout = code.indexOf(LAYOUT, header)
  const epilogue = code.lastIndexOf(EPILOGUE)
  const end = code.lastIndexOf(RETURN)
  if (layout < 0 || epilogue < layout || end < epilogue) {
    throw new Error(
      'fragcache/eta: this version of Eta compiles templates in an unknown way; use Eta 4',
    )
  }
  const asynchronous = code.slice(epilogue, end).includes('await includeAsync')
  const rendering = giveLayout(code.slice(layout, end), config)
  const inside = watchWith(waitAtEnd(guardCalls(rendering), asynchronous), config)
  const before = passOn(code.slice(0, layout), config, body)
  return before + start(asynchronous, config) + inside + code.slice(end)
}

/** A template without tags that may have something to do with others. */
const INCLUDES = /\b(?:include(?:Async)?|layout)\b/

/** What the template itself is compiled to. */
function bodyOf(code: string): string {
  const begin = code.indexOf(BLOCKS[1] as string)
  return code.slice(code.indexOf('\n', begin), code.lastIndexOf(EPILOGUE))
}

/** Makes a template hand on to what it includes, and to its layout, what page they are of. */
function passOn(code: string, { functionHeader, varName }: EtaConfig, body: string): string {
  const at = code.indexOf(INCLUDE, functionHeader.length)
  if (at < 0) return code
  const end = code.indexOf('\n\n', at)
  const data = `{...${varName}, ...(__eta_d ?? {})}, `
  const includes = code
    .slice(at, end)
    .replaceAll(
      `${data}options)`,
      () =>
        `${PLUGIN}?.given(${varName},__eta_d)??${data}${PLUGIN}?.included(__eta_d,${OPTIONS})??${OPTIONS})`,
    )
  // What blocks see must not change with what the template does to its data.
  const isCopied = INCLUDES.test(body) || body.includes(`${RUNTIME}.hole`)
  const page = `${PLUGIN}?.pageOf(${varName},options,${isCopied})`
  const own = `const ${PLUGIN}=${FIND},${OPTIONS}=${page}??options;${seenCode(varName)}`
  return `${code.slice(0, at)}\n;${own};${includes}${code.slice(end)}`
}

/** Of a layout's data Eta makes a copy of its own, which is made once more where the layout is included. */
function giveLayout(code: string, { varName }: EtaConfig): string {
  return code.replace(`{...${varName}, body: __eta.res, `, () => '{body: __eta.res, ')
}

/** Makes a template that has nothing to do with others see its data as a part of a page. */
function watchAlone(code: string, { functionHeader, varName }: EtaConfig): string {
  const at = code.indexOf(INCLUDE, functionHeader.length)
  if (at < 0) return code
  return `${code.slice(0, at)}\n;const ${PLUGIN}=${FIND};${seenCode(varName)}${code.slice(at)}`
}

function seenCode(data: string): string {
  return `${data}=${PLUGIN}?.seen(${data})??${data};`
}

const NO_PLUGIN =
  'fragcache/eta: this template holds cache tags, but the plugins of the Eta that runs it do not; add cachePlugin(caches) to its option plugins'

function start(asynchronous: boolean, { varName }: EtaConfig): string {
  const none = `{fragcache(){throw new Error(${JSON.stringify(NO_PLUGIN)})}}`
  const reach = `()=>arguments.callee`
  return `\nconst ${RUNTIME}=(${PLUGIN}??${none}).fragcache(this,__eta,${OPTIONS},${asynchronous},${reach},${varName});`
}

/** With the option `useWith` a template reads its data by names alone, as long as it runs. */
function watchWith(code: string, { useWith, varName }: EtaConfig): string {
  if (useWith !== true) return code
  return code.replace(`with(${varName}||{}){`, () => `with(${RUNTIME}.watch(${varName}||{})){`)
}

/** An asynchronous template is done when everything is stored. */
function waitAtEnd(code: string, asynchronous: boolean): string {
  const at = code.lastIndexOf(FINISH)
  if (!asynchronous || at < 0) return code
  const wait = `finally{const writes=${RUNTIME}.finish();if(writes!==undefined)await writes}`
  return code.slice(0, at) + wait + code.slice(at + FINISH.length)
}

/** What a hit would leave out must not be called inside a fragment. */
function guardCalls(code: string): string {
  let guarded = LAYOUT + `${RUNTIME}.outside('layout');` + code.slice(LAYOUT.length)
  for (const block of BLOCKS) {
    const at = guarded.indexOf(block)
    if (at < 0) continue
    const body = at + block.length - 'if('.length
    guarded = `${guarded.slice(0, body)}${RUNTIME}.outside('block');${guarded.slice(body)}`
  }
  return guarded
}
