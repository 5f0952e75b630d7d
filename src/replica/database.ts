import type { Position } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import type { FromClient, ToClient } from './client/messages.ts'

/** Sent to the local client, and not applied yet. */
const MAX_UNAPPLIED_BYTES = 8 << 20

type Answer = Extract<FromClient, { database: string }>

export interface ReplicaDatabaseOptions {
  readonly name: string
  readonly send: (order: ToClient, body?: Uint8Array) => Promise<void>
  readonly applied: (position: Position) => void
  /** Only a snapshot leads on. */
  readonly failed: (error: ReplicaError) => void
}

/** Why the local client did not carry out an order. */
export class ReplicaError extends LtxdError {
  constructor(database: string, code: string, message: string) {
    super(code, `database ${database}: ${message}`)
  }
}

/** One database of a replica, as the control plane sees it: what the local client has still to do for it. */
export class ReplicaDatabase {
  readonly name: string
  readonly #options: ReplicaDatabaseOptions
  /** What the client has not answered yet, in order. */
  readonly #unanswered: { readonly bytes: number; settle: (answer: Answer) => void }[] = []
  #unappliedBytes = 0
  #room: (() => void)[] = []
  /** Why it does not go on just now. */
  blocked: string | undefined
  /** What comes is of no use until a snapshot has. */
  broken: string | undefined
  /** What is written to it no longer becomes transactions: it must begin anew, as a file of its own. */
  uncaptured = false

  constructor(options: ReplicaDatabaseOptions) {
    this.name = options.name
    this.#options = options
  }

  /** Transactions that were handed over and are not applied yet. */
  get behind(): number {
    return this.#unanswered.length
  }

  /** Where it is, or undefined where nothing tells. Throws ReplicaError. */
  async open(positions: readonly Position[]): Promise<string | undefined> {
    const answer = await this.#ask({ type: 'open', database: this.name, positions: positions.map(formatPosition) })
    return answer.type === 'opened' ? answer.position : undefined
  }

  /** Resolves when there is room for the next. Its failure is reported by `failed`. */
  async apply(bytes: Uint8Array | { readonly file: string; readonly sizeBytes: number }): Promise<void> {
    if (this.broken !== undefined) return
    while (this.#unappliedBytes > MAX_UNAPPLIED_BYTES) await new Promise<void>((resolve) => this.#room.push(resolve))
    const inFile = 'file' in bytes
    const order = { type: 'apply', database: this.name, ...(inFile && { file: bytes.file }) } as const
    const settle = (answer: Answer) => {
      if (answer.type === 'failed') this.#break(new ReplicaError(this.name, answer.code, answer.message))
    }
    this.#expect(inFile ? bytes.sizeBytes : bytes.length, settle)
    await this.#options.send(order, inFile ? undefined : bytes)
  }

  /** Resolves when it is applied. Throws ReplicaError. */
  async advance(order: Omit<Extract<ToClient, { type: 'advance' }>, 'type' | 'database'>): Promise<void> {
    await this.#ask({ type: 'advance', database: this.name, ...order })
    this.broken = undefined
  }

  /** Throws ReplicaError. */
  async discard(): Promise<void> {
    await this.#ask({ type: 'discard', database: this.name })
    this.broken = undefined
    this.uncaptured = false
  }

  /** Resolves when all that was handed over has been answered. */
  async idle(): Promise<void> {
    while (this.#unanswered.length > 0) await new Promise<void>((resolve) => this.#room.push(resolve))
  }

  /** The client has said something about this database. */
  receive(answer: Answer, position: Position | undefined): void {
    if (answer.type === 'blocked') {
      this.blocked = answer.reason
      return
    }
    this.blocked = undefined
    for (const order of this.#unanswered.splice(0, answer.type === 'applied' ? (answer.orders ?? 1) : 1)) {
      this.#unappliedBytes -= order.bytes
      order.settle(answer)
    }
    for (const resolve of this.#room.splice(0)) resolve()
    if (answer.type === 'applied' && position !== undefined) this.#options.applied(position)
  }

  /** The client has gone: nothing will be answered any more. */
  abandon(): void {
    const lost = {
      type: 'failed',
      database: this.name,
      code: 'CLIENT_LOST',
      message: 'the local client ended',
    } as const
    for (const { settle } of this.#unanswered.splice(0)) settle(lost)
    this.#unappliedBytes = 0
    for (const resolve of this.#room.splice(0)) resolve()
  }

  #ask(order: ToClient): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#expect(0, (answer) => {
        if (answer.type === 'failed') reject(new ReplicaError(this.name, answer.code, answer.message))
        else resolve(answer)
      })
      this.#options.send(order).catch(reject)
    })
  }

  #expect(bytes: number, settle: (answer: Answer) => void): void {
    this.#unanswered.push({ bytes, settle })
    this.#unappliedBytes += bytes
  }

  #break(error: ReplicaError): void {
    if (this.broken !== undefined) return
    this.broken = error.message
    if (error.code !== 'CLIENT_LOST') this.#options.failed(error)
  }
}
