import type { Application, Response } from 'express'
import { noteCopyOf } from '../../src/fragment/computed-names.js'
import { takeForCopy } from '../../src/fragment/personal.js'

type Render = (this: object, view: string, options: object, done: unknown) => unknown

type ResponseRender = (this: Response, ...given: unknown[]) => unknown

const watched = new WeakSet<Application>()

/**
 * Notes what getters of `app.locals`, of `res.locals` and of the data of a render read, in an application and in those
 * that are mounted in it: Express copies all three, and their getters run then, before any engine is called.
 *
 * @see Express, `app.render`
 */
export function watchGetters(app: Application): void {
  if (watched.has(app)) return
  watched.add(app)
  watchRenderings(app)
  const { response } = app as unknown as { readonly response: { render: ResponseRender } }
  const { render } = response
  // The responses of applications that are mounted in this one inherit it.
  response.render = function (...given) {
    watchGetters(this.req.app)
    return render.apply(this, given)
  }
}

function watchRenderings(app: Application): void {
  const { render } = app as unknown as { readonly render: Render }
  const watching: Render = (view, options, done) => {
    // Without data, the callback takes their place.
    if (typeof options === 'function') return watching.call(app, view, {}, options)
    const given = options as { readonly _locals?: object } | undefined
    const [shared, own, data] = [app.locals, given?._locals, given].map(takeForCopy)
    if (shared === app.locals && own === given?._locals && data === given) {
      return render.call(app, view, options, done)
    }
    const _locals = Object.assign(Object.create(null) as object, own)
    noteCopyOf(_locals, shared, own, data)
    const seeing = Object.create(app, { locals: { value: shared } }) as Application
    return render.call(seeing, view, { ...data, _locals }, done)
  }
  Object.assign(app, { render: watching })
}
