import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A code block of a page of the documentation. */
export interface Sample {
  readonly page: string
  /** Of the opening fence, counted from 1. */
  readonly line: number
  readonly code: string
  /** What its `// prints:` comments promise, in order. */
  readonly prints: readonly string[]
}

const root = new URL('../../', import.meta.url)

/** The JavaScript blocks of a page, given by its path in the project. */
export function samplesOf(page: string): Sample[] {
  const text = readFileSync(new URL(page, root), 'utf8')
  const samples: Sample[] = []
  for (const match of text.matchAll(/^```js\n(.*?)^```$/gms)) {
    const code = match[1] as string
    samples.push({
      page,
      line: text.slice(0, match.index).split('\n').length,
      code,
      prints: [...code.matchAll(/\/\/ prints: (.*)$/gm)].map((one) => one[1] as string),
    })
  }
  return samples
}

/** An absolute path in the project. */
export function inProject(path: string): string {
  return fileURLToPath(new URL(path, root))
}
