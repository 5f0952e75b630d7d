import type { Logger } from '../util/log.ts'

/** The kinds of lasting failures. */
export type TroubleKind =
  'read' | 'write' | 'record' | 'role' | 'lead' | 'history' | 'election' | 'yield' | 'unfit' | 'absent'

const OVER: Readonly<Record<TroubleKind, string>> = {
  read: 'the lease can be read again',
  write: 'the lease can be written again',
  record: 'the lease record is in order again',
  role: 'the role was taken',
  lead: 'the take-over succeeded',
  unfit: 'this node may lead again, or another does',
  election: 'the candidates compare what they have again',
  yield: 'no candidate that has more is waited for any more',
  absent: 'all nodes of the cluster are heard again, or one leads',
  history: 'this node no longer waits for a later leader',
}

/** A failure that persists for the same reason is logged again after this time. */
export const REPEAT_MS = 600_000

/** Beyond this many different reasons, all further ones count as one. */
const MAX_REASONS = 8

interface Trouble {
  message: string
  /** When each reason was last logged. Reasons are compared without terms, times and error codes. */
  readonly loggedAtMs: Map<string, number>
}

/**
 * Logs one line for each reason when something starts to fail, one now and then while it lasts, and one when it ends.
 */
export class Troubles {
  readonly #logger: Logger
  readonly #nowMs: () => number
  readonly #now = new Map<TroubleKind, Trouble>()

  constructor(logger: Logger, nowMs: () => number) {
    this.#logger = logger
    this.#nowMs = nowMs
  }

  /** The newest failure that persists. */
  get last(): string | undefined {
    return [...this.#now.values()].at(-1)?.message
  }

  has(kind: TroubleKind): boolean {
    return this.#now.has(kind)
  }

  began(kind: TroubleKind, message: string): void {
    const trouble = this.#now.get(kind) ?? { message, loggedAtMs: new Map<string, number>() }
    this.#now.set(kind, trouble)
    trouble.message = message
    const stable = message.replace(/ \([A-Z_]+\)|[0-9]+/g, '')
    const reason = trouble.loggedAtMs.has(stable) || trouble.loggedAtMs.size < MAX_REASONS ? stable : ''
    const atMs = this.#nowMs()
    const isDue = atMs - (trouble.loggedAtMs.get(reason) ?? -Infinity) >= REPEAT_MS
    if (isDue) trouble.loggedAtMs.set(reason, atMs)
    this.#logger[isDue ? 'warn' : 'debug']({ lease: kind }, message)
  }

  /** Ends a failure without a log line. */
  forget(kind: TroubleKind): void {
    this.#now.delete(kind)
  }

  over(kind: TroubleKind): void {
    if (this.#now.delete(kind)) this.#logger.info({ lease: kind }, OVER[kind])
  }
}
