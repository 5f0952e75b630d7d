/** Calls of what carries a role out: strictly one after the other, in order, except that an order which was overtaken before its turn is left out. */
export class HostCalls {
  readonly #waiting: Call[] = []
  #running: Call | undefined
  #idle: (() => void)[] = []

  /** `overtaken`: what is asked for next makes this needless, if it has not begun by then. */
  push(run: (signal: AbortSignal) => Promise<void>, { overtaken = false } = {}): void {
    if (this.#waiting.at(-1)?.overtaken === true) this.#waiting.pop()
    this.#waiting.push({ run, overtaken, controller: new AbortController() })
    if (this.#running === undefined) void this.#work()
  }

  /** Tells everything that was asked for so far to end. It is still waited for. */
  abort(reason: string): void {
    for (const { controller } of [...(this.#running === undefined ? [] : [this.#running]), ...this.#waiting]) {
      controller.abort(new Error(reason))
    }
  }

  /** Resolves when nothing is left to do. */
  async finished(): Promise<void> {
    if (this.#running !== undefined) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  async #work(): Promise<void> {
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      this.#running = call
      await call.run(call.controller.signal)
    }
    this.#running = undefined
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

interface Call {
  /** Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>
  readonly overtaken: boolean
  readonly controller: AbortController
}
