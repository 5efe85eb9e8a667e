/** What a built site lacks. @param root - The folder of the project. */
export function faultsInSite(root: string): string[]
