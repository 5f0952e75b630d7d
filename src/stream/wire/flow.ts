/**
 * Windows: how many unconsumed bytes may be on their way to a replica, of one database and of all. They bound memory on
 * both ends.
 */

import { StreamProtocolError } from './errors.ts'
import { Signal } from './signal.ts'
import { MAX_BODY_BYTES } from './wire.ts'

/** Of one database, so that a slow one does not use the room of the others. */
export const DATABASE_WINDOW_BYTES = 4 * 1024 * 1024
/** Of all databases, for new items. An item that has begun may always finish, within its database's window. */
const STREAM_WINDOW_BYTES = 32 * 1024 * 1024
/** One database may occupy this part of what is free. */
const FREE_PARTS = 8
/** Beyond the window of all, for databases that occupy nothing. */
const RESERVE_BYTES = 4 * 1024 * 1024
/** The cost of a transaction or a snapshot beyond its bytes. */
export const ITEM_COST_BYTES = 256
/** Bodies of more than one frame that are sent side by side. */
export const MAX_OPEN_BODIES = 4

/** The sender checks before each frame, so the last one may reach beyond the window. */
const TOLERANCE_BYTES = MAX_BODY_BYTES + ITEM_COST_BYTES

export class Flow {
  /** Woken when bytes were given back, or the stream ended. */
  readonly given = new Signal()
  #total = 0
  readonly #databases = new Map<string, number>()

  get totalBytes(): number {
    return this.#total
  }

  /** No new item may begin. */
  get full(): boolean {
    return this.#total >= STREAM_WINDOW_BYTES
  }

  bytesOf(database: string): number {
    return this.#databases.get(database) ?? 0
  }

  /**
   * How many bytes a new item of a database may have. No item may begin while it is zero or less. Databases of which
   * the replica takes nothing do not hold up the others: each may occupy a share of what is free, and one that occupies
   * nothing may send an item also when nothing is free.
   */
  roomToBegin(database: string): number {
    const occupied = this.bytesOf(database)
    const free = STREAM_WINDOW_BYTES - this.#total
    const room = Math.min(DATABASE_WINDOW_BYTES, free / FREE_PARTS) - occupied
    return occupied === 0 && free > -RESERVE_BYTES ? Math.max(room, 1) : room
  }

  /**
   * Whether the replica takes what is sent of a database as it comes. Only then may a body of more than one frame
   * begin: few may be open, so none must wait there for a reader.
   */
  isFlowing(database: string): boolean {
    return this.bytesOf(database) === 0
  }

  roomToContinue(database: string): number {
    return DATABASE_WINDOW_BYTES - this.bytesOf(database)
  }

  take(database: string, bytes: number): void {
    this.#total += bytes
    this.#databases.set(database, this.bytesOf(database) + bytes)
  }

  /** Throws StreamProtocolError when more is given back than was taken. */
  give(database: string, bytes: number): void {
    const left = this.bytesOf(database) - bytes
    if (left < 0) throw new StreamProtocolError(`${-left} bytes of ${database} were consumed that were never sent`)
    this.#total -= bytes
    if (left === 0) this.#databases.delete(database)
    else this.#databases.set(database, left)
    this.given.wake()
  }

  /** The receiver's check. Throws StreamProtocolError when the sender exceeded a window. */
  assertWithin(database: string): void {
    const most =
      STREAM_WINDOW_BYTES +
      RESERVE_BYTES +
      MAX_OPEN_BODIES * (DATABASE_WINDOW_BYTES + TOLERANCE_BYTES) +
      TOLERANCE_BYTES
    if (this.bytesOf(database) <= DATABASE_WINDOW_BYTES + TOLERANCE_BYTES && this.#total <= most) return
    throw new StreamProtocolError(`more of ${database} was sent than there is room for`)
  }
}
