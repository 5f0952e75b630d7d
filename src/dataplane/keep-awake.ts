/**
 * An idle core halts, and on some virtual machines waking it takes 50 to 100 µs, several times in each transaction,
 * because application and data plane take turns. With `fuse.latency: low` a thread of the lowest priority spins to keep
 * a core awake while requests arrive, and sleeps as soon as they stop.
 */

/** How long the thread spins after the last request. On most disks the fsync of a commit takes less. */
export const AWAKE_MS = 3
/** The number of requests that wake the thread: occasional single ones do not. */
export const REQUESTS_TO_WAKE = 16

const REQUESTS = 0
const ASLEEP = 1
const CELLS = 2
/** Iterations between two readings of the clock: some microseconds. */
const LOOKS = 2_000

/** The memory that the serving thread and the spinning thread share. */
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

  /** Spins, and returns after AWAKE_MS without a request. */
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
