/** Steps that run once when the run ends: by itself, by an error, or by Ctrl-C. The last one added runs first. */
export class Cleanup {
  readonly #steps: { what: string; undo: () => void | Promise<void> }[] = []
  #running: Promise<void> | undefined
  #interrupted = false

  /** A signal ended the run. Later failures are its consequence. */
  get interrupted(): boolean {
    return this.#interrupted
  }

  /** Makes something, and registers `undo` for it. Throws once the clean-up has begun. */
  own<T>(what: string, make: () => T, undo: (made: T) => void | Promise<void>): T {
    if (this.#running !== undefined) throw new Error(`no ${what}: the run is being cleaned up`)
    const made = make()
    this.#steps.push({ what: `end ${what}`, undo: () => undo(made) })
    return made
  }

  defer(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo })
  }

  /** Runs every step, even after one has failed. Then throws the failures. */
  async run(): Promise<void> {
    this.#running ??= this.#unwind()
    await this.#running
  }

  /** Makes SIGINT, SIGTERM and SIGHUP clean up, then exit with 128 plus the signal's number. */
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
