export const DOT_COOKIE = 1
export const DOT_DOT_COOKIE = 2

/**
 * The names of one directory, each with a cookie from which a reader can continue. Cookies survive changes: a remaining
 * name retains its cookie, and a new name gets a higher one, so that deleting while reading (`rm -r`) skips nothing.
 */
export class DirectoryListing {
  #names: string[] = []
  #cookies: number[] = []
  #last = DOT_DOT_COOKIE

  /** Updates the listing to the directory's current names. */
  refresh(names: readonly string[]): void {
    const present = new Set(names)
    const keptNames: string[] = []
    const keptCookies: number[] = []
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#names[i] as string
      if (!present.delete(name)) continue
      keptNames.push(name)
      keptCookies.push(this.#cookies[i] as number)
    }
    for (const name of present) {
      keptNames.push(name)
      keptCookies.push(++this.#last)
    }
    this.#names = keptNames
    this.#cookies = keptCookies
  }

  /** The names after `cookie`, in order. */
  *after(cookie: number): Iterable<[name: string, cookie: number]> {
    for (let i = this.#indexAfter(cookie); i < this.#names.length; i++) {
      yield [this.#names[i] as string, this.#cookies[i] as number]
    }
  }

  #indexAfter(cookie: number): number {
    let low = 0
    let high = this.#cookies.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#cookies[middle] as number) <= cookie) low = middle + 1
      else high = middle
    }
    return low
  }
}
