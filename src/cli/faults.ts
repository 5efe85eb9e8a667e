/** Called in a way that the help text explains better than a stack would. */
export class UsageError extends Error {}

/** What cannot be done, in words that are all there is to say. */
export class CommandError extends Error {}
