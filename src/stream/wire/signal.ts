/** A promise and what settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => (resolve = settle))
  return { promise, resolve }
}

/** Wakes whoever waits. Take `next` before looking at what one waits for, so that no wake-up is missed. */
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
