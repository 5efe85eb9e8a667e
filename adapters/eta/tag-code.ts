import type { ArgumentSource, TagArguments } from '../../src/fragment/arguments.js'
import { RUNTIME, TELLS } from './runtime-name.js'
import type { EtaConfig } from './types.js'

/**
 * The code that replaces a cache tag: its body follows it.
 *
 * @param taken - The template's own variables that the body sees.
 */
export function beginCode(
  variable: string,
  site: string,
  args: TagArguments,
  taken: ReadonlySet<string>,
  { varName }: EtaConfig,
): string {
  const seen = `${variable}Seen=${RUNTIME}.watch(${varName})`
  return (
    `{const ${variable}=${RUNTIME}.open(${site},${valuesCode(args)});if(${variable}!==null){` +
    // In a function that is not async, await is no keyword but an unknown variable.
    `if(${variable}.waits)try{await (${variable}.wait(${TELLS}))}catch{}` +
    // A variable of that name that is none of the data's may be a constant.
    `if(${variable}.begin()){const ${variable}Data=${varName},${seen};` +
    `try{if(${variable}Seen!==${varName})${varName}=${variable}Seen;` +
    takenCode(variable, taken)
  )
}

/** Each is read by itself: one that is declared further down cannot be yet. */
function takenCode(variable: string, taken: ReadonlySet<string>): string {
  if (taken.size === 0) return ''
  const values = Array.from(taken, (name) => `[${JSON.stringify(name)}]:()=>${name}`)
  return `${variable}.takes({${values.join(',')}});`
}

/** The code that replaces a tag's end. */
export function endCode(variable: string, { varName }: EtaConfig): string {
  const back = `if(${variable}Seen!==${variable}Data)${varName}=${variable}Data;`
  const caught = `catch(${RUNTIME}Error){if(!${variable}.fail(${RUNTIME}Error))throw ${RUNTIME}Error}`
  const fill = `if(${variable}.filling!==undefined){${waitCode(`${variable}.filling`)}}`
  return `;${variable}.done=true}${caught}finally{${back}${variable}.end();${fill}}}}}`
}

/** Waits, if that can be done where it is: elsewhere, await is no keyword but an unknown variable. */
export function waitCode(text: string): string {
  return `try{await (${text}.wait())}catch{}${text}.end()`
}

/**
 * What may be known of a tag before it is reached: texts, numbers, and what is read of the template's data.
 */
export function isToldAhead(
  { timeout, varyOn, keywords }: TagArguments,
  { varName }: EtaConfig,
): boolean {
  const data = varName.replaceAll('$', '\\$')
  const told = new RegExp(
    `^(?:[\\s[\\],]|\\d|${data}(?:\\.[A-Za-z_$][\\w$]*)+|"[^"\\\\]*"|'[^'\\\\]*'|none|null|true|false)*$`,
    'i',
  )
  return [timeout, ...varyOn, ...keywords.values()].every(({ text }) => told.test(text))
}

/** The values of a tag that is known before it is reached. */
export function plainValuesCode({ timeout, varyOn, keywords }: TagArguments): string {
  const values = [timeoutCode(timeout), `varyOn:[${varyOn.map(expression).join(',')}]`]
  for (const [keyword, value] of keywords) values.push(`${keyword}:${expression(value)}`)
  return `{${values.join(',')}}`
}

function timeoutCode(timeout: ArgumentSource): string {
  return `timeout:${/^none$/i.test(timeout.text) ? 'null' : expression(timeout)}`
}

function valuesCode({ timeout, varyOn, keywords }: TagArguments): string {
  const values = [timeoutCode(timeout)]
  const list = `[${varyOn.map(expression).join(',')}]`
  // What these read of a visitor, and nothing else does, is what the fragment tells visitors apart by.
  if (varyOn.length === 0 || varyOn.some(({ text }) => /\b(?:await|yield)\b/.test(text))) {
    values.push(`varyOn:${list}`)
  } else {
    values.push(`varyOn:(${RUNTIME}.beginVaryOn(),${list})`, `declared:${RUNTIME}.endVaryOn()`)
  }
  for (const [keyword, value] of keywords) values.push(`${keyword}:${expression(value)}`)
  return `{${values.join(',')}}`
}

export function expression({ text }: ArgumentSource): string {
  return `(${text})`
}
