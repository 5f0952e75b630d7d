import type { OwnerWish } from '../data/database-owner.ts'
import type { Position } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import type { FromClient, ToClient } from './client/messages.ts'

/** Limit of bytes of one database that were sent to the local client but are not applied yet. */
const MAX_UNAPPLIED_BYTES = 8 << 20
/**
 * The same of all databases, in memory. One that has nothing there may always send a transaction, so those that are
 * held up do not hold up the others.
 */
const MAX_MEMORY_BYTES = 64 << 20

const CLIENT_LOST = 'the local client ended'

type Answer = Extract<FromClient, { database: string }>

interface Unanswered {
  readonly bytes: number
  /** Of these, what is not in a file. */
  readonly memoryBytes: number
  /** It changes the database. */
  readonly isChange: boolean
  readonly sentAtMs: number
  answered: (answer: Answer) => void
}

export interface ReplicaDatabaseOptions {
  readonly name: string
  readonly send: (order: ToClient, body?: Uint8Array) => Promise<void>
  readonly applied: (position: Position) => void
  /** Called when only a snapshot can continue the database. */
  readonly failed: (error: ReplicaError) => void
  /** What all databases have in the local client's memory. */
  readonly memory: { bytes: number }
}

/** The local client failed to execute an order. */
export class ReplicaError extends LtxdError {
  constructor(database: string, code: string, message: string) {
    super(code, `database ${database}: ${message}`)
  }
}

/** One database of a replica in the control plane: the orders that the local client has not executed yet. */
export class ReplicaDatabase {
  readonly name: string
  readonly #options: ReplicaDatabaseOptions
  /** Orders without an answer yet, oldest first. */
  readonly #unanswered: Unanswered[] = []
  #unappliedBytes = 0
  #room: (() => void)[] = []
  /** The client has ended. Whatever is ordered afterwards fails at once, because nobody would answer it. */
  #isAbandoned = false
  /** Why the local client cannot apply at the moment. */
  blocked: string | undefined
  /** The same, if not another process is the reason: a full disk, or one that fails. */
  failing: string | undefined
  /** Why a transfer does not arrive, which is no failure. */
  waiting: string | undefined
  #isUnbounded = false
  /** Why no transaction can be applied before a snapshot. */
  broken: string | undefined
  #hasLost = false
  /** The data plane no longer captures writes to this file: the database must start again in a new file. */
  uncaptured = false

  constructor(options: ReplicaDatabaseOptions) {
    this.name = options.name
    this.#options = options
  }

  /** How many transactions were sent to the client but are not applied yet. */
  get behind(): number {
    return this.#unanswered.length
  }

  /** How long the oldest order without an answer has waited; 0 when there is none. */
  get waitingMs(): number {
    const [oldest] = this.#unanswered
    return oldest === undefined ? 0 : performance.now() - oldest.sentAtMs
  }

  /** Transactions or a snapshot were received that are not applied yet. */
  get isApplying(): boolean {
    return this.#unanswered.some(({ isChange }) => isChange)
  }

  /** Nothing of what was received of it was lost on the way. */
  get isWhole(): boolean {
    return this.broken === undefined && !this.#isAbandoned
  }

  /** What was received of it could not be applied, and is only where it came from. */
  get hasLost(): boolean {
    return this.#hasLost
  }

  /** Whether transactions are sent to the client however many wait there: this node takes no more from its primary. */
  set unbounded(unbounded: boolean) {
    this.#isUnbounded = unbounded
    for (const resolve of this.#room.splice(0)) resolve()
  }

  /** The database's position; undefined when it is at none of `positions`. Throws ReplicaError. */
  async open(positions: readonly Position[]): Promise<string | undefined> {
    const answer = await this.#request({ type: 'open', database: this.name, positions: positions.map(formatPosition) })
    return answer.type === 'opened' ? answer.position : undefined
  }

  /** Sends a transaction. Resolves when there is room for the next one. Failures are reported through `failed`. */
  async apply(bytes: Uint8Array | { readonly file: string; readonly sizeBytes: number }): Promise<void> {
    if (this.broken !== undefined) return
    while (!this.#isUnbounded && !this.#hasRoom) await new Promise<void>((resolve) => this.#room.push(resolve))
    if (this.#isAbandoned) return
    const inFile = 'file' in bytes
    const order = { type: 'apply', database: this.name, ...(inFile && { file: bytes.file }) } as const
    const [sizeBytes, memoryBytes] = inFile ? [bytes.sizeBytes, 0] : [bytes.length, bytes.length]
    this.#expect('apply', [sizeBytes, memoryBytes], (answer) => {
      if (answer.type !== 'failed') return
      this.#hasLost = true
      this.#markBroken(new ReplicaError(this.name, answer.code, answer.message))
    })
    await this.#options.send(order, inFile ? undefined : bytes)
  }

  /** Resolves when the file is applied. Throws ReplicaError. */
  async advance(order: Omit<Extract<ToClient, { type: 'advance' }>, 'type' | 'database'>): Promise<void> {
    await this.#request({ type: 'advance', database: this.name, ...order })
    this.broken = undefined
    this.#hasLost = false
  }

  /** Throws ReplicaError. */
  async discard(): Promise<void> {
    await this.#request({ type: 'discard', database: this.name })
    this.broken = undefined
    this.#hasLost = false
    this.uncaptured = false
  }

  /** Gives the database its owner when its file is made, and if it is `news` also where it exists. */
  own(owner: OwnerWish, news: boolean): Promise<void> {
    return this.#options.send({ type: 'own', database: this.name, owner, news })
  }

  /** Resolves when every order has been answered. */
  async idle(): Promise<void> {
    while (this.#unanswered.length > 0) await new Promise<void>((resolve) => this.#room.push(resolve))
  }

  /** Handles a message of the client about this database. */
  receive(answer: Answer, position: Position | undefined): void {
    if (answer.type === 'blocked') {
      this.blocked = answer.reason
      this.failing = answer.isFailure ? answer.reason : undefined
      return
    }
    this.blocked = this.failing = undefined
    for (const order of this.#unanswered.splice(0, answer.type === 'applied' ? (answer.orders ?? 1) : 1))
      this.#end(order, answer)
    for (const resolve of this.#room.splice(0)) resolve()
    if (answer.type === 'applied' && position !== undefined) this.#options.applied(position)
  }

  /** The client has ended, so no order will be answered any more. */
  abandon(): void {
    this.#isAbandoned = true
    const lost = {
      type: 'failed',
      database: this.name,
      code: 'CLIENT_LOST',
      message: CLIENT_LOST,
    } as const
    for (const order of this.#unanswered.splice(0)) this.#end(order, lost)
    for (const resolve of this.#room.splice(0)) resolve()
  }

  #request(order: ToClient): Promise<Answer> {
    if (this.#isAbandoned) return Promise.reject(new ReplicaError(this.name, 'CLIENT_LOST', CLIENT_LOST))
    return new Promise((resolve, reject) => {
      this.#expect(order.type, [0, 0], (answer) => {
        if (answer.type === 'failed') reject(new ReplicaError(this.name, answer.code, answer.message))
        else resolve(answer)
      })
      this.#options.send(order).catch(reject)
    })
  }

  get #hasRoom(): boolean {
    const free = Math.min(MAX_UNAPPLIED_BYTES, MAX_MEMORY_BYTES - this.#options.memory.bytes)
    return this.#unappliedBytes === 0 || this.#unappliedBytes <= free
  }

  #expect(
    type: ToClient['type'],
    [bytes, memoryBytes]: readonly [number, number],
    answered: Unanswered['answered'],
  ): void {
    this.#unanswered.push({ bytes, memoryBytes, isChange: type !== 'open', sentAtMs: performance.now(), answered })
    this.#unappliedBytes += bytes
    this.#options.memory.bytes += memoryBytes
  }

  #end({ bytes, memoryBytes, answered }: Unanswered, answer: Answer): void {
    this.#unappliedBytes -= bytes
    this.#options.memory.bytes -= memoryBytes
    answered(answer)
  }

  #markBroken(error: ReplicaError): void {
    if (this.broken !== undefined) return
    this.broken = error.message
    if (error.code !== 'CLIENT_LOST') this.#options.failed(error)
  }
}
