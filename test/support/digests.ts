import { hash } from 'node:crypto'

/** Ways to write the SHA-256 of a text, all of them short: none may be taken for the text itself. */
export function spellingsOf(text: string): string[] {
  const inputs = [Buffer.from(text), Buffer.from(text, 'utf16le')]
  return inputs.flatMap((input) => {
    const hex = hash('sha256', input, 'hex')
    const base64 = hash('sha256', input, 'base64')
    const number = BigInt(`0x${hex}`).toString()
    return [hex, base64, `sha256 ${hex}`, `sha256 ${base64}`, `0x${hex}`, number, `${number}n`]
  })
}
