import type { Request, Response } from 'express'
import { runAsyncIn } from '../../src/making/frame.js'
import type { RenderWatcher } from '../node/host.js'

type Finish = (error: Error | null, text?: string) => void

type Render = (view: string, options: object, finish: Finish) => void

/**
 * Lets a watcher see what `res.render` renders.
 *
 * @see Express, `res.render`
 */
export function watchRender(req: Request, res: Response, watcher: RenderWatcher): void {
  const render = res.render.bind(res) as Render
  const send: Finish = (error, text) => {
    if (error) req.next?.(error)
    else res.send(text)
  }
  const watched = (view: string, options?: object | Finish, callback?: Finish) => {
    const given = typeof options === 'function' ? {} : (options ?? {})
    const own = typeof options === 'function' ? (options as Finish) : callback
    const finish = own ?? send
    const frame = watcher.enter()
    if (frame === undefined) return render(view, given, finish)
    const isForHandler = own !== undefined
    runAsyncIn(frame, () =>
      render(view, given, (error, text) => {
        watcher.leave(frame, { error, text, isForHandler, finish, fail: send })
      }),
    )
  }
  res.render = watched as Response['render']
}
