/** A promise, and the function that resolves it. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((done) => (resolve = done))
  return { promise, resolve }
}

/** Wakes all that wait. Take `next` before you check the condition, so that no wake-up is missed. */
export class Signal {
  #next = deferred<void>()

  /** Resolves at the next `wake`. */
  get next(): Promise<void> {
    return this.#next.promise
  }

  wake(): void {
    const woken = this.#next
    this.#next = deferred<void>()
    woken.resolve()
  }
}
