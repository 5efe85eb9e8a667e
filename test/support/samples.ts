import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A code block of a page of the documentation. */
export interface Sample {
  readonly page: string
  /** Of the opening fence, counted from 1. */
  readonly line: number
  readonly language: string
  /** What the fence names by `file=`: the page's reader saves it so. */
  readonly file?: string
  readonly code: string
  /** What its `// prints:` comments promise, in order. */
  readonly prints: readonly string[]
  /** What its `// warns:` comments promise: a part of each warning, in order. */
  readonly warns: readonly string[]
}

const root = new URL('../../', import.meta.url)

/** An absolute path in the project. */
export function inProject(path: string): string {
  return fileURLToPath(new URL(path, root))
}

function markdownIn(folder: string): string[] {
  return readdirSync(inProject(folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md') && !/^api\/|node_modules/.test(file))
    .sort()
    .map((file) => join(folder, file))
}

/** What a reader may start from; the changelog is history. */
export const pages: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...markdownIn('docs'),
  ...markdownIn('examples'),
]

function promisesOf(code: string, verb: string): string[] {
  return [...code.matchAll(new RegExp(`// ${verb}: (.*)$`, 'gm'))].map((one) => one[1] as string)
}

/** The blocks of a page, given by its path in the project; also those within lists. */
export function blocksOf(page: string): Sample[] {
  const text = readFileSync(inProject(page), 'utf8')
  const blocks: Sample[] = []
  for (const match of text.matchAll(/^( *)```(\S*)(?: file=(\S+))?\n(.*?)^ *```$/gms)) {
    const [, indent = '', language = '', file, body = ''] = match
    const code = body.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    blocks.push({
      page,
      line: text.slice(0, match.index).split('\n').length,
      language,
      ...(file === undefined ? {} : { file }),
      code,
      prints: promisesOf(code, 'prints'),
      warns: promisesOf(code, 'warns'),
    })
  }
  return blocks
}

/** The JavaScript blocks of a page. */
export function samplesOf(page: string): Sample[] {
  return blocksOf(page).filter(({ language }) => language === 'js')
}
