import assert from 'node:assert/strict'
import type { PublishedDatabase } from '../capture/events.ts'
import { ZERO_POSITION } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import type { FromDataPlane } from './messages.ts'
import { SharedState } from './shared-state.ts'

interface Slot {
  readonly index: number
  commits: number
  last: Position
  backfilled: Position
  rejection: string | undefined
}

/**
 * The data plane's side of the shared state: assigns each database a slot when it is first published. A released slot
 * is used again once the control plane has given it back, so nobody reads one database's state for another's.
 */
export class Slots {
  readonly #state: SharedState
  readonly #send: (message: FromDataPlane) => void
  readonly #byName = new Map<string, Slot>()
  readonly #limit: number
  /** Slots below are or were in use. */
  #used = 0
  /** Free slots, and slots that were released but not given back yet. */
  readonly #free: number[] = []
  readonly #released: number[] = []

  constructor(state: SharedState, send: (message: FromDataPlane) => void, limit = SharedState.maxDatabases) {
    this.#state = state
    this.#send = send
    this.#limit = limit
  }

  /** Whether the database has a slot, or can get one. */
  admits(name: string): boolean {
    return this.#byName.has(name) || this.#used < this.#limit || this.#hasFree()
  }

  /** The database's slot, if it has one. */
  slotOf(name: string): number | undefined {
    return this.#byName.get(name)?.index
  }

  /** Returns the database's slot. */
  publish(database: PublishedDatabase): number {
    const slot = this.#slot(database)
    const { position } = database
    if (slot.last.txid > 0n && position.txid > slot.last.txid) slot.commits += Number(position.txid - slot.last.txid)
    slot.last = position
    slot.backfilled = database.backfilled ?? slot.backfilled
    this.#state.publish(slot.index, {
      position,
      sizePages: database.pages.sizePages,
      pageSize: database.pageSize,
      journalMode: database.walMode ? 'wal' : 'rollback',
      encrypted: database.encryption !== 'none',
      tracked: database.tracked,
      backfilled: slot.backfilled,
      commits: slot.commits,
      timestampMs: database.lastTimestampMs,
    })
    return slot.index
  }

  /** The database's slot is free once the control plane has given it back. */
  release(name: string): void {
    const slot = this.#byName.get(name)
    if (slot === undefined) return
    this.#byName.delete(name)
    this.#released.push(slot.index)
    this.#send({ type: 'released', name, slot: slot.index })
  }

  /** The databases that the control plane allows to be released, with the drop that they must end with. */
  releasable(): [string, TXID][] {
    const found: [string, TXID][] = []
    for (const [name, { index }] of this.#byName) {
      const txid = this.#state.releasable(index)
      if (txid > 0n) found.push([name, txid])
    }
    return found
  }

  #hasFree(): boolean {
    for (let i = this.#released.length - 1; i >= 0 && this.#free.length === 0; i--) {
      const index = this.#released[i] as number
      if (!this.#state.takeBack(index)) continue
      this.#released.splice(i, 1)
      this.#free.push(index)
    }
    return this.#free.length > 0
  }

  #slot(database: PublishedDatabase): Slot {
    const { name, rejection } = database
    let slot = this.#byName.get(name)
    if (slot !== undefined && slot.rejection === rejection) return slot
    if (slot === undefined) {
      const index = this.#hasFree() ? (this.#free.pop() as number) : this.#used++
      assert.ok(index < this.#limit, 'a database without a slot makes no transaction')
      slot = { index, commits: 0, last: ZERO_POSITION, backfilled: ZERO_POSITION, rejection }
      this.#byName.set(name, slot)
    }
    slot.rejection = rejection
    this.#state.announce()
    this.#send({ type: 'database', name, slot: slot.index, rejection })
    return slot
  }
}
