const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 30_000

/** When a snapshot of a database that cannot continue is requested: at once, and again after growing pauses. */
export class Resyncs {
  readonly #request: (database: string) => void
  readonly #attempts = new Map<string, number>()
  readonly #timers = new Map<string, NodeJS.Timeout>()

  constructor(request: (database: string) => void) {
    this.#request = request
  }

  /** The database cannot continue. */
  broken(database: string): void {
    if (this.#timers.has(database)) return
    const attempt = this.#attempts.get(database) ?? 0
    this.#attempts.set(database, attempt + 1)
    const delayMs = attempt === 0 ? 0 : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt)
    const timer = setTimeout(() => {
      this.#timers.delete(database)
      this.#request(database)
    }, delayMs)
    this.#timers.set(database, timer.unref())
  }

  /** A snapshot was applied. */
  healed(database: string): void {
    this.#attempts.delete(database)
    this.#clear(database)
  }

  /** Nothing is requested of this connection any more. The next one begins with all databases that are broken. */
  disconnected(): void {
    for (const database of this.#timers.keys()) this.#clear(database)
  }

  #clear(database: string): void {
    clearTimeout(this.#timers.get(database))
    this.#timers.delete(database)
  }
}
