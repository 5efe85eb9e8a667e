import type { Application, Request, Response } from 'express'
import type { Host } from '../node/host.js'
import { watchErrorHandlers } from './error-handlers.js'
import { watchGetters } from './getters.js'
import { narrowRequest } from './narrow.js'
import { parentOf } from './parent.js'
import { watchRender } from './render.js'

type Trust = (address: string | undefined, hop: number) => boolean

/** Express as a host; all requests and responses here are those of Express. */
export const expressHost: Host = {
  scopeOf: (req) => (req as Request).app,
  trusts(req, app) {
    const trust = (app as Application).get('trust proxy fn') as Trust
    return trust(req.socket.remoteAddress, 0)
  },
  narrow: (req, keeps) => void narrowRequest(req as Request, keeps),
  listenerOf(req) {
    let { app } = req as Request
    for (let parent = parentOf(app); parent !== undefined; parent = parentOf(app)) app = parent
    return app
  },
  watchErrors: (req, onError) => watchErrorHandlers(req as Request, onError),
  watchGetters: (req) => watchGetters((req as Request).app),
  watchRender: (req, res, watcher) => watchRender(req as Request, res as Response, watcher),
}
