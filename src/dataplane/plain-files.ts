import type { LogFields } from '../capture/events.ts'

const WINDOW_MS = 60_000
/** How long the first line waits for more files. */
const DELAY_MS = 1_000
const MAX_EXAMPLES = 3
/** Beyond it, files are forgotten, and named again when they are written again. */
const MAX_KNOWN = 100_000

/** The log's lines about plain files, which are not replicated: one a minute at most, each file once. */
export class PlainFiles {
  readonly #log: (message: string, fields: LogFields) => void
  readonly #known = new Set<string>()
  readonly #examples: string[] = []
  #count = 0
  #saidAt = -Infinity
  #timer: NodeJS.Timeout | undefined

  constructor(log: (message: string, fields: LogFields) => void) {
    this.#log = log
  }

  add(file: string): void {
    if (this.#known.has(file)) return
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.add(file)
    this.#count++
    if (this.#examples.length < MAX_EXAMPLES) this.#examples.push(file)
    const waitMs = Math.max(DELAY_MS, this.#saidAt + WINDOW_MS - performance.now())
    this.#timer ??= setTimeout(() => this.flush(), waitMs).unref()
  }

  /** Logs what has not been logged. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#count === 0) return
    this.#saidAt = performance.now()
    const fields = { count: this.#count, files: this.#examples.splice(0).join(', ') }
    this.#count = 0
    this.#log('files that are no SQLite databases were written: plain files are not replicated', fields)
  }
}
