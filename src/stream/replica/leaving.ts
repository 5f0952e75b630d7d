/** The wait of a node that stops for its primary's word that it will not be made the successor. */
export class Leaving {
  #answer: (told: boolean) => void = () => {}

  /** Resolves with false after the time. */
  answered(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), withinMs)
      this.#answer = (told) => {
        clearTimeout(late)
        resolve(told)
      }
    })
  }

  /** The primary has answered, or the connection has ended. */
  answer(told: boolean): void {
    this.#answer(told)
  }
}
