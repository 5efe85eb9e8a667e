import type ts from 'typescript'

export function wordsOf(page: string): Map<string, string>

export function phrasesOf(page: string): Map<string, string>

export function messagesIn(file: ts.SourceFile): string

export function commentsIn(file: ts.SourceFile): string

export function faultsInWords(
  page: string,
  words: ReadonlyMap<string, string>,
): { readonly line: number; readonly word: string; readonly better: string }[]

export function faultsIn(root: string): string[]

export function faultsInNames(
  files: readonly { readonly path: string; readonly names: readonly string[] }[],
  words: ReadonlyMap<string, string>,
): string[]
