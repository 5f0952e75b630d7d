/**
 * A core that has nothing to do is halted, and on some virtual machines it takes 50 to 100 µs to wake it, several times in each
 * transaction: application and data plane take turns. With `fuse.latency: low` a thread of the lowest priority keeps a core from halting while
 * requests come, and sleeps as soon as they do not.
 */

/** How long after the last request. A commit's fsync takes less on most disks. */
export const AWAKE_MS = 3
/** So many requests wake the thread: a single one now and then does not. */
export const REQUESTS_TO_WAKE = 16

const REQUESTS = 0
const ASLEEP = 1
const CELLS = 2
/** Some microseconds of looking, between two looks at the clock. */
const LOOKS = 2_000

/** What both sides share. One thread serves requests, another keeps awake. */
export class KeepAwake {
  readonly #cells: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer)
  }

  static buffer(): SharedArrayBuffer {
    return new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT)
  }

  /** A request was served. */
  requested(): void {
    const cells = this.#cells
    const requests = ((cells[REQUESTS] as number) + 1) | 0
    cells[REQUESTS] = requests
    if (cells[ASLEEP] === 0 || requests % REQUESTS_TO_WAKE !== 0) return
    cells[ASLEEP] = 0
    Atomics.notify(cells, ASLEEP)
  }

  /** Blocks the thread until requests come. */
  sleep(): void {
    Atomics.store(this.#cells, ASLEEP, 1)
    Atomics.wait(this.#cells, ASLEEP, 1)
  }

  /** Returns when none has come for AWAKE_MS. */
  watch(now: () => number = () => performance.now()): void {
    let seen = Atomics.load(this.#cells, REQUESTS)
    let until = now() + AWAKE_MS
    for (;;) {
      let requests = seen
      for (let look = 0; look < LOOKS && requests === seen; look++) requests = Atomics.load(this.#cells, REQUESTS)
      const nowMs = now()
      if (requests !== seen) until = nowMs + AWAKE_MS
      else if (nowMs >= until) return
      seen = requests
    }
  }
}
