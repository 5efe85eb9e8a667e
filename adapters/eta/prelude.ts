import { FINISH, RUNTIME } from './rewrite.js'
import type { EtaConfig } from './types.js'

const LAYOUT = '\nfunction layout(path, data) {'
const BLOCKS = ['function block(name,fn){if(', 'async function blockAsync(name,fn){if(']
const INCLUDE = '\nlet include = ('
/** A template with a layout shares this with all that it includes and its layout. */
const PLACED = '\nif(options)options.fragcachePlaced??={any:false,texts:[]};'
const EPILOGUE = '\nif (__eta.layout) {'
const RETURN = '\nreturn __eta.res;'

/**
 * Puts the run time into the code of a template that has cache tags.
 *
 * @throws Error: Eta makes its code in a way that this package does not know.
 */
export function addRuntime(code: string, config: EtaConfig): string {
  const header = config.functionHeader.length
  const hasLayout = /\blayout\b/.test(bodyOf(code))
  if (!code.includes(`${RUNTIME}.`)) {
    return includes(code) ? noteGiven(code, config, hasLayout) : code
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
  const inside = waitAtEnd(guardCalls(code.slice(layout, end)), asynchronous)
  const before = noteGiven(code.slice(0, layout), config, hasLayout)
  return before + start(asynchronous, config) + inside + code.slice(end)
}

/** Whether a template without tags has something to do with others. */
function includes(code: string): boolean {
  return /\b(?:include(?:Async)?|layout)\b/.test(bodyOf(code))
}

/** What the template itself is compiled to. */
function bodyOf(code: string): string {
  const begin = code.indexOf(BLOCKS[1] as string)
  return code.slice(code.indexOf('\n', begin), code.lastIndexOf(EPILOGUE))
}

/** Makes includes hand on what they were given, which nocache blocks further in may not use. */
function noteGiven(
  code: string,
  { functionHeader, varName }: EtaConfig,
  hasLayout: boolean,
): string {
  const at = code.indexOf(INCLUDE, functionHeader.length)
  if (at < 0) return code
  const end = code.indexOf('\n\n', at)
  const data = `{...${varName}, ...(__eta_d ?? {})}, `
  const given = `__eta_d?${PLUGIN}?.given(${varName},__eta_d,options)??options:options)`
  return (
    code.slice(0, at) +
    (hasLayout ? PLACED : '') +
    code.slice(at, end).replaceAll(`${data}options)`, () => data + given) +
    code.slice(end)
  )
}

const NO_PLUGIN =
  'fragcache/eta: this template holds cache tags, but the plugins of the Eta that runs it do not; add cachePlugin(caches) to its option plugins'

/** The plugin is reached by the configuration, so that it lives as long as the engine. */
const PLUGIN = '(this.config.plugins.find((plugin)=>plugin.fragcache!==undefined))'

function start(asynchronous: boolean, { varName }: EtaConfig): string {
  const none = `{fragcache(){throw new Error(${JSON.stringify(NO_PLUGIN)})}}`
  const reach = `(${RUNTIME}Own)=>${RUNTIME}Own?arguments.callee:${varName}`
  return `\nconst ${RUNTIME}=(${PLUGIN}??${none}).fragcache(this,__eta,options,${asynchronous},${reach});`
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
