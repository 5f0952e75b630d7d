/**
 * A database's slot in the memory that both threads share. Its version is odd while the data plane writes the slot; a
 * reader retries then.
 */

import { ZERO_POSITION } from '../log/store.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'

export interface SlotState {
  readonly position: Position
  readonly sizePages: number
  readonly pageSize: number
  readonly journalMode: 'wal' | 'rollback'
  /** Its pages can be read with a key only. */
  readonly encrypted: boolean
  /** The database has a committed state with pages. */
  readonly tracked: boolean
  /** The last position whose pages are all in the database file. */
  readonly backfilled: Position
  readonly commits: number
  readonly timestampMs: number
}

/** Of a database that does not exist. */
export const NO_STATE: SlotState = {
  ...{ position: ZERO_POSITION, backfilled: ZERO_POSITION },
  ...{ sizePages: 0, pageSize: 0, journalMode: 'rollback', encrypted: false, tracked: false },
  ...{ commits: 0, timestampMs: 0 },
}

export const SLOT_WORDS = 12
export const WORD = {
  version: 0,
  txid: 1,
  checksum: 2,
  sizePages: 3,
  pageSize: 4,
  flags: 5,
  backfilledTXID: 6,
  backfilledChecksum: 7,
  commits: 8,
  timestampMs: 9,
  /** Written by the control plane, as is the next. */
  releasableTXID: 10,
  returned: 11,
} as const
const FLAG_WAL = 1n
const FLAG_TRACKED = 2n
const FLAG_ENCRYPTED = 4n

/**
 * Between the two stores of the version nothing is allocated or called that could fail: a slot with an odd version is
 * one that no reader ever finishes reading.
 */
export function publishSlot(words: BigUint64Array, slot: number, state: SlotState): void {
  const at = slot * SLOT_WORDS
  const version = Atomics.load(words, at + WORD.version)
  const [odd, next] = [version + 1n, version + 2n]
  const sizePages = BigInt(state.sizePages)
  const pageSize = BigInt(state.pageSize)
  const commits = BigInt(state.commits)
  const timestampMs = BigInt(Math.floor(state.timestampMs))
  const isWal = state.journalMode === 'wal' ? FLAG_WAL : 0n
  const flags = isWal | (state.tracked ? FLAG_TRACKED : 0n) | (state.encrypted ? FLAG_ENCRYPTED : 0n)
  const { txid, checksum } = state.position
  const { txid: backfilledTXID, checksum: backfilledChecksum } = state.backfilled
  Atomics.store(words, at + WORD.version, odd)
  Atomics.store(words, at + WORD.txid, txid)
  Atomics.store(words, at + WORD.checksum, checksum)
  Atomics.store(words, at + WORD.sizePages, sizePages)
  Atomics.store(words, at + WORD.pageSize, pageSize)
  Atomics.store(words, at + WORD.flags, flags)
  Atomics.store(words, at + WORD.backfilledTXID, backfilledTXID)
  Atomics.store(words, at + WORD.backfilledChecksum, backfilledChecksum)
  Atomics.store(words, at + WORD.commits, commits)
  Atomics.store(words, at + WORD.timestampMs, timestampMs)
  Atomics.store(words, at + WORD.version, next)
}

export function readSlot(words: BigUint64Array, slot: number): SlotState {
  const at = slot * SLOT_WORDS
  for (;;) {
    const version = Atomics.load(words, at + WORD.version)
    const word = (index: number) => Atomics.load(words, at + index)
    const state: SlotState = {
      position: { txid: word(WORD.txid) as TXID, checksum: word(WORD.checksum) as Checksum },
      sizePages: Number(word(WORD.sizePages)),
      pageSize: Number(word(WORD.pageSize)),
      journalMode: (word(WORD.flags) & FLAG_WAL) === 0n ? 'rollback' : 'wal',
      encrypted: (word(WORD.flags) & FLAG_ENCRYPTED) !== 0n,
      tracked: (word(WORD.flags) & FLAG_TRACKED) !== 0n,
      backfilled: { txid: word(WORD.backfilledTXID) as TXID, checksum: word(WORD.backfilledChecksum) as Checksum },
      commits: Number(word(WORD.commits)),
      timestampMs: Number(word(WORD.timestampMs)),
    }
    if (version % 2n === 0n && Atomics.load(words, at + WORD.version) === version) return state
  }
}
