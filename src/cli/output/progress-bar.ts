import { SingleBar } from 'cli-progress'

/** A bar is worth drawing only for what takes longer. */
const DELAY_MS = 1000

/**
 * A progress bar on stderr for work over a second; nothing when stderr is not a terminal. `format` gives the text that
 * follows the percentage.
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
