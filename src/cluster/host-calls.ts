/**
 * Calls to the role host, strictly one after the other. A replaceable call that has not started yields to the next one.
 */
export class HostCalls {
  readonly #waiting: Call[] = []
  #running: Call | undefined
  #idle: (() => void)[] = []

  /** `isReplaceable`: the next call makes this one obsolete, unless it has started by then. */
  push(run: (signal: AbortSignal) => Promise<void>, { isReplaceable = false } = {}): void {
    if (this.#waiting.at(-1)?.isReplaceable === true) this.#waiting.pop()
    this.#waiting.push({ run, isReplaceable, controller: new AbortController() })
    if (this.#running === undefined) void this.#work()
  }

  /** Aborts the running call and all waiting ones. They still run to their end, in order. */
  abort(reason: string): void {
    for (const { controller } of [...(this.#running === undefined ? [] : [this.#running]), ...this.#waiting]) {
      controller.abort(new Error(reason))
    }
  }

  /** Resolves when no call is left. */
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
  readonly isReplaceable: boolean
  readonly controller: AbortController
}
