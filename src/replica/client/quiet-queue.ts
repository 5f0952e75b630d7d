/** How long nothing was applied to a quiet database. */
const QUIET_MS = 1_000

/**
 * What has changed lately, oldest change first, and is worked on one at a time when nothing has changed it for a while.
 * Between two items everything else goes on.
 */
export class QuietQueue<T> {
  readonly #work: (item: T) => boolean
  readonly #quietMs: number
  readonly #dueMs = new Map<T, number>()
  #timer: NodeJS.Timeout | undefined

  /** `work` returns false when it has to be tried again later. It must not throw. */
  constructor(work: (item: T) => boolean, quietMs = QUIET_MS) {
    this.#work = work
    this.#quietMs = quietMs
  }

  changed(item: T): void {
    this.#dueMs.delete(item)
    this.#dueMs.set(item, performance.now() + this.#quietMs)
    if (this.#timer === undefined) this.#timer = this.#wait(this.#quietMs)
  }

  forget(item: T): void {
    this.#dueMs.delete(item)
  }

  #wait(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#next(), ms).unref()
  }

  #next(): void {
    this.#timer = undefined
    const [first] = this.#dueMs
    if (first === undefined) return
    const [item, dueMs] = first
    const leftMs = dueMs - performance.now()
    if (leftMs <= 0) {
      this.#dueMs.delete(item)
      if (!this.#work(item)) this.changed(item)
    }
    if (this.#timer === undefined) this.#timer = this.#wait(Math.max(0, leftMs))
  }
}
