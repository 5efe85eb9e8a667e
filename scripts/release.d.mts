/** Files in which the repository's owner stands. */
export const FILES_WITH_OWNER: readonly string[]
/** What stands for the owner until there is one. */
export const OWNER: string
/** What is in the way of publishing under a tag, each with what to do. @param read - The text of a file of the project. */
export function faultsOf(tag: string, read: (file: string) => string): string[]
