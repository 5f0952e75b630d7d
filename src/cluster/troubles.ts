import type { Logger } from '../util/log.ts'

/** What can go wrong for a while, each by itself. */
export type TroubleKind = 'read' | 'write' | 'record' | 'role' | 'lead' | 'history'

const OVER: Readonly<Record<TroubleKind, string>> = {
  read: 'the lease can be read again',
  write: 'the lease can be written again',
  record: 'the lease record is in order again',
  role: 'the role was taken',
  lead: 'took over at last',
  history: 'nobody is waited for any more',
}

/** What goes on for the same reason is said again so often. */
export const REPEAT_MS = 600_000

/** Reasons that come in more variety than that are one. */
const MAX_REASONS = 8

interface Trouble {
  message: string
  /** When each reason was said last; without what changes with each attempt, such as terms, times and the system's codes. */
  readonly saidAtMs: Map<string, number>
}

/** One line in the log when something begins to fail, for each reason; one now and then while it lasts; one when it works again. */
export class Troubles {
  readonly #logger: Logger
  readonly #nowMs: () => number
  readonly #now = new Map<TroubleKind, Trouble>()

  constructor(logger: Logger, nowMs: () => number) {
    this.#logger = logger
    this.#nowMs = nowMs
  }

  /** The one that lasts and began last. */
  get last(): string | undefined {
    return [...this.#now.values()].at(-1)?.message
  }

  has(kind: TroubleKind): boolean {
    return this.#now.has(kind)
  }

  began(kind: TroubleKind, message: string): void {
    const trouble = this.#now.get(kind) ?? { message, saidAtMs: new Map<string, number>() }
    this.#now.set(kind, trouble)
    trouble.message = message
    const said = message.replace(/ \([A-Z_]+\)|[0-9]+/g, '')
    const reason = trouble.saidAtMs.has(said) || trouble.saidAtMs.size < MAX_REASONS ? said : ''
    const atMs = this.#nowMs()
    const isDue = atMs - (trouble.saidAtMs.get(reason) ?? -Infinity) >= REPEAT_MS
    if (isDue) trouble.saidAtMs.set(reason, atMs)
    this.#logger[isDue ? 'warn' : 'debug']({ lease: kind }, message)
  }

  /** It matters no more. */
  forget(kind: TroubleKind): void {
    this.#now.delete(kind)
  }

  over(kind: TroubleKind): void {
    if (this.#now.delete(kind)) this.#logger.info({ lease: kind }, OVER[kind])
  }
}
