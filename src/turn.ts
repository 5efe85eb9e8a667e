let turn = 0
let isCounted = false

/**
 * The number of the event loop's turn. In one turn a process hears nothing new of the world around it, save
 * what came in together: what a store answered in it is as good as if it were asked now.
 */
export function currentTurn(): number {
  if (!isCounted) {
    isCounted = true
    setImmediate(endTurn)
  }
  return turn
}

function endTurn(): void {
  isCounted = false
  turn++
}
