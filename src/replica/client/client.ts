import fs from 'node:fs'
import { ApplyBlockedError } from '../../apply/errors.ts'
import { bytesOfFile } from '../../apply/transaction.ts'
import { type Announcement, marshalAnnouncements } from '../../capture/announcements.ts'
import { formatPosition, parsePosition } from '../../ltx/format/types.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { ClientDatabase, headOf } from './database.ts'
import type { FromClient, ToClient } from './messages.ts'

export type DatabaseOrder = Exclude<ToClient, { type: 'close' | 'guard' | 'leave' }>

interface Queue {
  readonly name: string
  readonly database: ClientDatabase
  readonly orders: { readonly order: DatabaseOrder; readonly body: Uint8Array }[]
  /** What was said to stand in the way. */
  blocked: string | undefined
  /** An order failed: nothing is applied until the database is opened, replaced or discarded. */
  failed: boolean
  waiting: boolean
}

const RETRY_MS = 20
/** Transactions that are offered to one write. */
const MAX_TOGETHER = 256

/**
 * The local client of a replica: a SQLite client on the node's mount, in a process of its own, that holds the write locks of all databases
 * and applies what the primary sent. One database that is blocked does not hold up the others.
 */
export class LocalClient {
  readonly #mountDir: string
  readonly #announcementsFd: number
  readonly #say: (message: FromClient) => void
  readonly #queues = new Map<string, Queue>()

  /** `announcementsPath`: the file on the mount that the data plane listens to. */
  constructor(mountDir: string, announcementsPath: string, say: (message: FromClient) => void) {
    this.#mountDir = mountDir
    this.#announcementsFd = fs.openSync(announcementsPath, fs.constants.O_WRONLY)
    this.#say = say
  }

  /** Not before `work`: what has come together goes together. */
  take(order: DatabaseOrder, body: Uint8Array): void {
    this.#queue(order.database).orders.push({ order, body })
  }

  /** Carries out what was taken, as far as nothing stands in the way. */
  work(): void {
    for (const queue of this.#queues.values()) if (!queue.waiting) this.#work(queue)
  }

  /** Lets go of everything. What was not applied by then is not. */
  close(): void {
    for (const { database, name } of this.#queues.values()) {
      try {
        database.close()
      } catch (error) {
        this.#fail(name, error)
      }
    }
    fs.closeSync(this.#announcementsFd)
    this.#say({ type: 'closed' })
  }

  #queue(name: string): Queue {
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      const path = `${this.#mountDir}/${name}`
      const database = new ClientDatabase(name, path, (...announcements) => this.#announce(announcements))
      queue = { name, database, orders: [], blocked: undefined, failed: false, waiting: false }
      this.#queues.set(name, queue)
    }
    return queue
  }

  #work(queue: Queue): void {
    for (let next = queue.orders[0]; next !== undefined; next = queue.orders[0]) {
      let done = 1
      try {
        const bodies = queue.failed ? [] : transactionsAtHead(queue)
        if (isSome(bodies)) done = this.#apply(queue, bodies)
        else this.#carryOut(queue, next.order)
        queue.blocked = undefined
      } catch (error) {
        if (error instanceof ApplyBlockedError) return this.#wait(queue, error.message)
        queue.failed = true
        this.#fail(queue.name, error)
      }
      queue.orders.splice(0, done)
    }
  }

  #wait(queue: Queue, reason: string): void {
    if (queue.blocked !== reason) this.#say({ type: 'blocked', database: queue.name, reason })
    queue.blocked = reason
    queue.waiting = true
    setTimeout(() => {
      queue.waiting = false
      this.#work(queue)
    }, RETRY_MS)
  }

  /** Returns how many. */
  #apply({ name, database }: Queue, bodies: readonly [Uint8Array, ...Uint8Array[]]): number {
    const { count, position } = database.applyAll(bodies)
    const applied = { type: 'applied', database: name, position: formatPosition(position) } as const
    this.#say(count === 1 ? applied : { ...applied, orders: count })
    return count
  }

  #carryOut(queue: Queue, order: DatabaseOrder): void {
    const { name, database } = queue
    switch (order.type) {
      case 'open': {
        const position = database.open(order.positions.map(parsePosition))
        queue.failed = false
        const at = position === undefined ? {} : { position: formatPosition(position) }
        return this.#say({ type: 'opened', database: name, ...at })
      }
      case 'apply': {
        const { file } = order
        if (queue.failed || file === undefined) {
          remove(file)
          return this.#say({ type: 'failed', database: name, code: 'SKIPPED', message: 'an earlier one failed' })
        }
        const position = database.apply(bytesOfFile(file), headOf(file))
        remove(file)
        return this.#say({ type: 'applied', database: name, position: formatPosition(position) })
      }
      case 'advance': {
        const position = database.advance(order)
        queue.failed = false
        remove(order.file)
        return this.#say({ type: 'applied', database: name, position: formatPosition(position) })
      }
      case 'discard':
        database.discard()
        queue.failed = false
        return this.#say({ type: 'discarded', database: name })
    }
  }

  #fail(database: string, error: unknown): void {
    this.#say({ type: 'failed', database, code: errorCode(error) ?? 'INTERNAL', message: errorMessage(error) })
  }

  #announce(announcements: readonly Announcement[]): void {
    const bytes = marshalAnnouncements(announcements)
    fs.writeSync(this.#announcementsFd, bytes, 0, bytes.length, 0)
  }
}

/** The transactions with which a queue begins, as far as they are in memory. */
function transactionsAtHead({ orders }: Queue): Uint8Array[] {
  const end = orders.findIndex(({ order }) => order.type !== 'apply' || order.file !== undefined)
  return orders.slice(0, end < 0 ? MAX_TOGETHER : Math.min(end, MAX_TOGETHER)).map(({ body }) => body)
}

function isSome<T>(list: readonly T[]): list is readonly [T, ...T[]] {
  return list.length > 0
}

function remove(file: string | undefined): void {
  if (file !== undefined) fs.rmSync(file, { force: true })
}
