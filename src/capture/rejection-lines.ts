import type { CaptureEvents, LogFields, LogLevel } from './events.ts'

const WINDOW_MS = 60_000
/** Of one kind in a window, over all processes and files. */
const MAX_LINES = 100
/** A kind's message begins with it; the rest may name files. */
const KIND_LENGTH = 24

type Log = CaptureEvents['log']

/**
 * The log's lines about rejected operations (those with an errno): once a minute for each process and file, and at most
 * so many of a kind, because applications try again in loops.
 */
export class RejectionLines {
  readonly #log: Log
  readonly #nowMs: () => number
  #began = -Infinity
  readonly #seen = new Set<string>()
  readonly #kinds = new Map<string, number>()
  #dropped = 0

  /** `nowMs` is a monotonic clock. */
  constructor(log: Log, nowMs: () => number) {
    this.#log = log
    this.#nowMs = nowMs
  }

  log(level: LogLevel, message: string, fields: LogFields): void {
    if (fields.errno !== undefined && this.#isRepeated(message, fields)) this.#dropped++
    else this.#log(level, message, fields)
  }

  #isRepeated(message: string, { process, database, file }: LogFields): boolean {
    this.#beginWindow()
    const key = JSON.stringify([message, process, database, file])
    const kind = message.slice(0, KIND_LENGTH)
    const count = this.#kinds.get(kind) ?? 0
    if (count >= MAX_LINES || this.#seen.has(key)) return true
    this.#seen.add(key)
    this.#kinds.set(kind, count + 1)
    return false
  }

  #beginWindow(): void {
    const now = this.#nowMs()
    if (now - this.#began < WINDOW_MS) return
    if (this.#dropped > 0) {
      this.#log('warn', 'rejections were repeated, and logged only once each', { lines: this.#dropped })
    }
    this.#began = now
    this.#dropped = 0
    this.#seen.clear()
    this.#kinds.clear()
  }
}
