type NodeCrypto = typeof import('node:crypto')

let loaded: NodeCrypto | undefined

/**
 * `node:crypto`, loaded when it is first needed: that takes about as long as to load this whole package,
 * which programs do that never make a digest.
 */
export function nodeCrypto(): NodeCrypto {
  return (loaded ??= process.getBuiltinModule('node:crypto'))
}
