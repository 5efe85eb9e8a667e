// As they are where a test has put its own in their place.
const { setImmediate: nextTurn, setTimeout: realTimeout } = globalThis

/** Something to wait for. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

export const pause = (ms: number): Promise<void> =>
  new Promise<void>((resolve) => realTimeout(resolve, ms))

/** Lets all that needs no more than turns of the event loop come to its end. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await new Promise<void>((resolve) => nextTurn(resolve))
}
