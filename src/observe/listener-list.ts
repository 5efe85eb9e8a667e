/**
 * @param count - For how many calls the message stands: more than one where it is one of many that were
 *   answered at once.
 */
export type Listener<Message> = (message: Message, count: number) => void

/** Who is told of calls with the time each took, without having all of them timed that are answered at once. */
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
