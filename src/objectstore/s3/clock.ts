import { nowMs } from '../../util/monotonic.ts'

/** The clock of a server, as its answers tell it. */
export class ServerClock {
  #last: { readonly dateMs: number; readonly atMs: number } | undefined

  /** Takes the Date header of an answer. */
  readonly answered = (date: string | undefined): void => {
    const dateMs = Date.parse(date ?? '')
    if (!Number.isNaN(dateMs)) this.#last = { dateMs, atMs: nowMs() }
  }

  /** In ms since the Unix epoch, to a second; undefined before an answer told it. */
  get nowMs(): number | undefined {
    return this.#last && this.#last.dateMs + (nowMs() - this.#last.atMs)
  }
}
