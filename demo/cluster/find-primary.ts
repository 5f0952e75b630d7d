import type { Route } from '../route.ts'

/** A trader's way to whoever is primary: it goes where it is sent, and tries the next where nobody answers. */
export class FindPrimary implements Route {
  readonly #exchanges: ReadonlyMap<string, string>
  #name: string

  /** The exchanges by the name of their node, as they are known to the traders; more may come. */
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
