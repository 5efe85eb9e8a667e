/**
 * @param count - For how many calls the message stands: more than one where it is one of many that were
 *   answered at once.
 */
export type Listener<Message> = (message: Message, count: number) => void

/**
 * Listeners that hear about calls with their durations, although not all calls that are answered at once are
 * timed.
 */
export class ListenerList<Message> {
  #all: readonly Listener<Message>[] = []

  get isEmpty(): boolean {
    return this.#all.length === 0
  }

  /**
   * @param listener - Never throws.
   * @returns Ends it.
   */
  add(listener: Listener<Message>): () => void {
    const own: Listener<Message> = (message, count) => listener(message, count)
    this.#all = [...this.#all, own]
    return () => {
      this.#all = this.#all.filter((one) => one !== own)
    }
  }

  tell(message: Message, count: number): void {
    for (const listener of this.#all) listener(message, count)
  }
}
