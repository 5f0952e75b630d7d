import assert from 'node:assert/strict'
import type { PublishedDatabase } from '../capture/events.ts'
import { ZERO_POSITION } from '../log/store.ts'
import type { Position } from '../ltx/format/types.ts'
import type { FromDataPlane } from './messages.ts'
import { SharedState } from './shared-state.ts'

interface Slot {
  readonly index: number
  commits: number
  last: Position
  backfilled: Position
  rejection: string | undefined
}

/** The data plane's side of the shared state: assigns each database a slot when it is first published. */
export class Slots {
  readonly #state: SharedState
  readonly #send: (message: FromDataPlane) => void
  readonly #byName = new Map<string, Slot>()
  readonly #limit: number

  constructor(state: SharedState, send: (message: FromDataPlane) => void, limit = SharedState.maxDatabases) {
    this.#state = state
    this.#send = send
    this.#limit = limit
  }

  /** Whether the database has a slot, or can get one. */
  admits(name: string): boolean {
    return this.#byName.has(name) || this.#byName.size < this.#limit
  }

  publish(database: PublishedDatabase): void {
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
      tracked: database.tracked,
      backfilled: slot.backfilled,
      commits: slot.commits,
      timestampMs: database.lastTimestampMs,
    })
  }

  #slot(database: PublishedDatabase): Slot {
    const { name, rejection } = database
    let slot = this.#byName.get(name)
    if (slot !== undefined && slot.rejection === rejection) return slot
    if (slot === undefined) {
      const index = this.#byName.size
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
