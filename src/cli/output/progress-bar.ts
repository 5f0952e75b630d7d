import { SingleBar } from 'cli-progress'

/** Work that ends sooner gets no bar. */
const DELAY_MS = 1000

/**
 * A progress bar on stderr for work that takes over a second. It draws nothing when stderr is not a terminal. `format`
 * returns the text after the percentage.
 */
export class ProgressBar {
  readonly #startedMs = Date.now()
  readonly #format: (done: number, total: number) => string
  readonly #isShown: boolean
  #bar: SingleBar | undefined

  constructor(format: (done: number, total: number) => string, isShown = process.stderr.isTTY) {
    this.#format = format
    this.#isShown = isShown
  }

  update(done: number, total: number): void {
    if (!this.#isShown || total <= 0) return
    const payload = { text: this.#format(done, total) }
    if (this.#bar !== undefined) {
      this.#bar.setTotal(total)
      this.#bar.update(done, payload)
    } else if (Date.now() - this.#startedMs >= DELAY_MS) {
      this.#bar = new SingleBar({ format: '{bar} {percentage}% {text}', clearOnComplete: true, stream: process.stderr })
      this.#bar.start(total, done, payload)
    }
  }

  /** Clears the line. */
  stop(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}
