import type { Logger } from '../util/log.ts'

/** What can go wrong for a while, each by itself. */
export type TroubleKind = 'read' | 'write' | 'record' | 'role' | 'lead'

const OVER: Readonly<Record<TroubleKind, string>> = {
  read: 'the lease can be read again',
  write: 'the lease can be written again',
  record: 'the lease record is in order again',
  role: 'the role was taken',
  lead: 'took over at last',
}

/** One line in the log when something begins to fail, and one when it works again; none for the attempts between. */
export class Troubles {
  readonly #logger: Logger
  readonly #now = new Map<TroubleKind, string>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** The one that lasts and began last. */
  get last(): string | undefined {
    return [...this.#now.values()].at(-1)
  }

  began(kind: TroubleKind, message: string): void {
    const isNew = !this.#now.has(kind)
    this.#now.set(kind, message)
    this.#logger[isNew ? 'warn' : 'debug']({ lease: kind }, message)
  }

  over(kind: TroubleKind): void {
    if (this.#now.delete(kind)) this.#logger.info({ lease: kind }, OVER[kind])
  }
}
