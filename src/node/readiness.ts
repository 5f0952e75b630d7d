/** Whether this node leads, or has caught up with its primary. */
export class Readiness {
  /** Resolves when that is so for the first time. */
  readonly first: Promise<void>
  isReady = false
  #resolve: () => void = () => undefined

  constructor() {
    this.first = new Promise((resolve) => (this.#resolve = resolve))
  }

  become(): void {
    this.isReady = true
    this.#resolve()
  }
}
