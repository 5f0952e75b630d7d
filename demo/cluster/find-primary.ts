import type { Route } from '../route.ts'

/** A trader's route to the primary: it follows redirections, and tries the next exchange if one does not answer. */
export class FindPrimary implements Route {
  readonly #exchanges: ReadonlyMap<string, string>
  #name: string

  /** The exchanges by the name of their node. More may be added. */
  constructor(exchanges: ReadonlyMap<string, string>) {
    const [first] = exchanges.keys()
    if (first === undefined) throw new Error('no exchange is known')
    this.#exchanges = exchanges
    this.#name = first
  }

  get url(): string {
    return this.#exchanges.get(this.#name) as string
  }

  redirected(to: string | undefined): void {
    if (to !== undefined && this.#exchanges.has(to)) this.#name = to
    else this.failed()
  }

  failed(): void {
    const names = [...this.#exchanges.keys()]
    this.#name = names[(names.indexOf(this.#name) + 1) % names.length] as string
  }
}
