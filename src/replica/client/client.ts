import { ApplyBlockedError } from '../../apply/errors.ts'
import { finish, type Steps } from '../../apply/steps.ts'
import { bytesOfFile, type LtxBytes } from '../../apply/transaction.ts'
import { formatPosition, parsePosition } from '../../ltx/format/types.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import type { FilesBeneath } from '../../util/files-beneath.ts'
import type { Announce } from './announcer.ts'
import { ClientDatabase } from './database.ts'
import { headOf } from './ltx-head.ts'
import type { FromClient, ToClient } from './messages.ts'
import { QuietQueue } from './quiet-queue.ts'
import { retryDelayMs } from './retries.ts'

export type DatabaseOrder = Exclude<ToClient, { type: 'finish' | 'close' | 'guard' | 'leave' | 'quiet' | 'ping' }>

interface Queue {
  readonly name: string
  readonly database: ClientDatabase
  readonly orders: { readonly order: DatabaseOrder; readonly body: Uint8Array; bytes?: LtxBytes }[]
  /** Since when nothing can be applied. */
  blockedAtMs: number | undefined
  /** The last reported reason for that. */
  blocked: string | undefined
  retryMs: number
  /** An order failed: nothing is applied until the database is opened, replaced or discarded. */
  failed: boolean
  /** How often the first order failed and was tried again. */
  attempts: number
  waiting: boolean
  /** What is done at the moment, with pauses for other databases. */
  steps: Steps<void> | undefined
}

/** Applications that try to write have the write lock for a moment. A reader has its lock for longer. */
const FIRST_RETRY_MS = 1
const LAST_RETRY_MS = 20
/** How often it is tried whether what is no file is gone. */
const OBSTACLE_MS = 500
/** From then on what blocks a database is reported. */
const REPORT_MS = 200
/** How long one database is worked on before the others have their turn. */
const TURN_MS = 5
/** The most transactions that one write may apply. */
const MAX_TOGETHER = 256

const UNBLOCKED = { blockedAtMs: undefined, blocked: undefined, retryMs: FIRST_RETRY_MS } as const

/**
 * The local client of a replica: a SQLite client on the node's mount, in its own process, which applies the primary's
 * transactions under SQLite's write locks. A blocked database does not delay the others.
 */
export class LocalClient {
  /** Applications make directories and links on the mount, and this process may be root's. */
  readonly #files: FilesBeneath
  readonly #data: FilesBeneath
  readonly #announce: Announce
  readonly #send: (message: FromClient) => void
  readonly #queues = new Map<string, Queue>()
  #finished = false
  readonly #quiet = new QuietQueue<Queue>((queue) => this.#beginCheckpoint(queue))

  /** `files` is the mount, and `data` the data directory, in which the orders' files are. */
  constructor(files: FilesBeneath, data: FilesBeneath, announce: Announce, send: (message: FromClient) => void) {
    this.#files = files
    this.#data = data
    this.#announce = announce
    this.#send = send
  }

  /** `work` executes the order: orders that arrive together are executed together. */
  enqueue(order: DatabaseOrder, body: Uint8Array): void {
    this.#queue(order.database).orders.push({ order, body })
  }

  /** Executes the queued orders of all databases that are not blocked, in turns. */
  work(): void {
    for (const queue of this.#queues.values()) this.#begin(queue)
  }

  /** Executes them all at once. */
  complete(): void {
    for (const queue of this.#queues.values()) {
      if (queue.steps !== undefined) finish(queue.steps)
      queue.steps = undefined
      if (!queue.waiting) finish(this.#work(queue))
    }
  }

  /** Drops the queued orders, executes no more, and takes all locks. */
  finish(): void {
    this.#finished = true
    for (const { orders, database } of this.#queues.values()) {
      orders.length = 0
      database.hold()
    }
    this.#send({ type: 'finished' })
  }

  /** Releases all locks. Orders that are still queued are dropped. */
  close(): void {
    for (const { database, name } of this.#queues.values()) {
      try {
        database.close()
      } catch (error) {
        this.#fail(name, error)
      }
    }
    this.#send({ type: 'closed' })
  }

  #queue(name: string): Queue {
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      const owned = (reason: string | undefined) =>
        this.#send(
          reason === undefined ? { type: 'owned', database: name } : { type: 'unowned', database: name, reason },
        )
      const database = new ClientDatabase(name, this.#files, this.#announce, owned)
      queue = { name, database, orders: [], ...UNBLOCKED, failed: false, attempts: 0, waiting: false, steps: undefined }
      this.#queues.set(name, queue)
    }
    return queue
  }

  #begin(queue: Queue): void {
    if (queue.waiting || queue.steps !== undefined || queue.orders.length === 0) return
    queue.steps = this.#work(queue)
    this.#turn(queue)
  }

  /** Works on a database for a while, and again when the others, and what arrives, have had their turn. */
  #turn(queue: Queue): void {
    const until = performance.now() + TURN_MS
    while (queue.steps !== undefined && performance.now() < until) {
      if (queue.steps.next().done === true) queue.steps = undefined
    }
    if (queue.steps !== undefined || queue.orders.length > 0) setImmediate(() => this.#again(queue))
  }

  #again(queue: Queue): void {
    if (queue.steps === undefined) this.#begin(queue)
    else this.#turn(queue)
  }

  *#work(queue: Queue): Steps<void> {
    for (let next = queue.orders[0]; next !== undefined && !this.#finished; next = queue.orders[0]) {
      let done = 1
      try {
        const bodies = queue.failed ? [] : transactionsAtHead(queue)
        if (isSome(bodies)) done = yield* this.#apply(queue, bodies)
        else yield* this.#execute(queue, next)
        Object.assign(queue, UNBLOCKED)
      } catch (error) {
        if (error instanceof ApplyBlockedError) return this.#wait(queue, error.message, queue.retryMs)
        // A user has made a directory of that name: what has arrived waits until that is gone.
        if (next.order.type !== 'discard' && errorCode(error) === 'NOT_REGULAR') {
          queue.database.removeObstacles()
          return this.#wait(queue, errorMessage(error), OBSTACLE_MS)
        }
        const delayMs = retryDelayMs(error, ++queue.attempts)
        if (delayMs !== undefined) return this.#wait(queue, errorMessage(error), delayMs, true)
        queue.failed = true
        // A plain file that has the database's name is moved away, and the order comes again.
        if ('file' in next.order && errorCode(error) !== 'APPLY_NOT_DATABASE') this.#remove(next.order.file)
        this.#fail(queue.name, error)
      }
      queue.attempts = 0
      queue.orders.splice(0, done)
      yield
    }
  }

  /** False when it has to be tried again. */
  #beginCheckpoint(queue: Queue): boolean {
    if (queue.failed || this.#finished) return true
    if (queue.steps !== undefined) return false
    queue.steps = this.#checkpoint(queue)
    this.#turn(queue)
    return true
  }

  *#checkpoint(queue: Queue): Steps<void> {
    try {
      if (!(yield* queue.database.checkpoint())) this.#quiet.changed(queue)
    } catch (error) {
      if (error instanceof ApplyBlockedError) return this.#quiet.changed(queue)
      const code = errorCode(error) ?? 'INTERNAL'
      this.#send({ type: 'checkpoint-failed', database: queue.name, code, message: errorMessage(error) })
    }
  }

  #wait(queue: Queue, reason: string, delayMs: number, isFailure = false): void {
    queue.blockedAtMs ??= performance.now()
    const isReported = isFailure || performance.now() >= queue.blockedAtMs + REPORT_MS
    const isNews = queue.blocked !== reason && isReported
    if (isNews) this.#send({ type: 'blocked', database: queue.name, reason, isFailure })
    if (isNews) queue.blocked = reason
    queue.waiting = true
    setTimeout(() => {
      queue.waiting = false
      this.#begin(queue)
    }, delayMs)
    queue.retryMs = Math.min(LAST_RETRY_MS, 2 * queue.retryMs)
  }

  /** Returns the number of transactions that were applied. */
  *#apply(queue: Queue, bodies: readonly [Uint8Array, ...Uint8Array[]]): Steps<number> {
    const { name, database } = queue
    const { count, position } = yield* database.applyAll(bodies)
    this.#quiet.changed(queue)
    const applied = { type: 'applied', database: name, position: formatPosition(position) } as const
    this.#send(count === 1 ? applied : { ...applied, orders: count })
    return count
  }

  *#execute(queue: Queue, next: Queue['orders'][number]): Steps<void> {
    const { order } = next
    const { name, database } = queue
    if (order.type === 'forget') return this.#forget(queue)
    this.#quiet.changed(queue)
    switch (order.type) {
      case 'open': {
        const position = yield* database.open(order.positions.map(parsePosition))
        queue.failed = false
        const at = position === undefined ? {} : { position: formatPosition(position) }
        return this.#send({ type: 'opened', database: name, ...at })
      }
      case 'apply': {
        const { file } = order
        if (queue.failed || file === undefined) {
          this.#remove(file)
          return this.#send({ type: 'failed', database: name, code: 'SKIPPED', message: 'an earlier order failed' })
        }
        const position = yield* database.apply(
          (next.bytes ??= bytesOfFile(this.#data.at(file))),
          headOf(this.#data.at(file)),
        )
        this.#remove(file)
        return this.#send({ type: 'applied', database: name, position: formatPosition(position) })
      }
      case 'advance': {
        const file = this.#data.at(order.file)
        const position = yield* database.advance((next.bytes ??= bytesOfFile(file)), { ...order, file })
        queue.failed = false
        this.#remove(order.file)
        return this.#send({ type: 'applied', database: name, position: formatPosition(position) })
      }
      case 'own':
        return database.own(order.owner, order.news)
      case 'discard':
        database.discard()
        queue.failed = false
        return this.#send({ type: 'discarded', database: name })
    }
  }

  /** Orders that came after it make it again. */
  #forget({ name, database, orders }: Queue): void {
    if (orders.length > 1) return
    database.close()
    this.#queues.delete(name)
  }

  #remove(file: string | undefined): void {
    if (file !== undefined) this.#data.remove(file)
  }

  #fail(database: string, error: unknown): void {
    this.#send({ type: 'failed', database, code: errorCode(error) ?? 'INTERNAL', message: errorMessage(error) })
  }
}

/** The transactions at the head of the queue that are in memory. */
function transactionsAtHead({ orders }: Queue): Uint8Array[] {
  const end = orders.findIndex(({ order }) => order.type !== 'apply' || order.file !== undefined)
  return orders.slice(0, end < 0 ? MAX_TOGETHER : Math.min(end, MAX_TOGETHER)).map(({ body }) => body)
}

function isSome<T>(list: readonly T[]): list is readonly [T, ...T[]] {
  return list.length > 0
}
