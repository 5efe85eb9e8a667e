import { chain, isPromise, type MaybePromise } from '../../maybe-promise.js'

/** Does one thing after the other, and gives what each gave. */
export function inTurn<T, U>(
  items: readonly T[],
  action: (item: T) => MaybePromise<U>,
  done: U[] = [],
): MaybePromise<U[]> {
  const item = items[done.length]
  if (item === undefined) return done
  return chain(action(item), (result) => {
    done.push(result)
    return inTurn(items, action, done)
  })
}

/** Does something again for as long as it says so, however often: at once it is a loop. */
export function repeat(step: () => MaybePromise<boolean>): MaybePromise<void> {
  for (;;) {
    const more = step()
    if (isPromise(more)) return more.then((goOn) => (goOn ? repeat(step) : undefined))
    if (!more) return undefined
  }
}

/** Handles a failure, at once or later. */
export function rescue<T>(
  action: () => MaybePromise<T>,
  failed: (error: unknown) => MaybePromise<T>,
): MaybePromise<T> {
  let result: MaybePromise<T>
  try {
    result = action()
  } catch (error) {
    return failed(error)
  }
  return isPromise(result) ? result.catch(failed) : result
}

/** Cuts a list into pieces of at most so many. */
export function split<T>(items: readonly T[], most: number): readonly (readonly T[])[] {
  if (items.length <= most) return items.length === 0 ? [] : [items]
  return Array.from({ length: Math.ceil(items.length / most) }, (_, i) =>
    items.slice(i * most, (i + 1) * most),
  )
}
