/** What must be undone however the run ends: by itself, by an error, or by Ctrl-C. Last in, first out; each once. */
export class Cleanup {
  readonly #steps: { what: string; undo: () => void | Promise<void> }[] = []
  #running: Promise<void> | undefined
  #interrupted = false

  /** A signal ended the run: what fails from now on fails for that reason. */
  get interrupted(): boolean {
    return this.#interrupted
  }

  /** Makes something, and sees to its end. Once cleaning up has begun nothing is made any more: this throws instead. */
  own<T>(what: string, make: () => T, undo: (made: T) => void | Promise<void>): T {
    if (this.#running !== undefined) throw new Error(`no ${what}: the run is being cleaned up`)
    const made = make()
    this.#steps.push({ what: `end ${what}`, undo: () => undo(made) })
    return made
  }

  defer(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo })
  }

  /** Runs every step, also after one failed; then throws what failed. */
  async run(): Promise<void> {
    this.#running ??= this.#unwind()
    await this.#running
  }

  /** From now on SIGINT, SIGTERM and SIGHUP clean up and end the process with 128 + the signal's number. */
  onSignals(announce: (signal: NodeJS.Signals) => void): void {
    for (const [signal, code] of [
      ['SIGHUP', 129],
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      process.once(signal, () => {
        this.#interrupted = true
        announce(signal)
        this.run().then(
          () => process.exit(code),
          (error: unknown) => {
            console.error(error)
            process.exit(code)
          },
        )
      })
    }
  }

  async #unwind(): Promise<void> {
    const failures: unknown[] = []
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo()
      } catch (error) {
        failures.push(new Error(`could not ${step.what}`, { cause: error }))
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'cleaning up failed')
  }
}
