import type { Application } from 'express'

/** What an application is mounted in. */
export function parentOf(app: Application): Application | undefined {
  return (app as { parent?: Application }).parent
}
