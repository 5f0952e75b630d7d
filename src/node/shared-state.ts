/**
 * What the data plane shows to the control plane without a word: one slot a database in shared memory, and a few control words. The data
 * plane is the only writer of slots; a reader retries while the slot's version is odd or has changed.
 */

import type { Checksum, Position, TXID } from '../ltx/types.ts'

export interface SlotState {
  readonly position: Position
  readonly sizePages: number
  readonly pageSize: number
  readonly journalMode: 'wal' | 'rollback'
  /** It has a committed state with pages. */
  readonly tracked: boolean
  /** Up to where the database file alone holds everything. */
  readonly backfilled: Position
  readonly commits: number
  readonly timestampMs: number
}

const MAX_DATABASES = 16384
const CONTROL_WORDS = 8
const SLOT_WORDS = 12

const CONTROL = { stop: 0, changes: 2 } as const
const WORD = {
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
} as const
const FLAG_WAL = 1n
const FLAG_TRACKED = 2n

export class SharedState {
  readonly buffer: SharedArrayBuffer
  private readonly control: Int32Array
  private readonly words: BigUint64Array

  constructor(buffer = new SharedArrayBuffer((CONTROL_WORDS + SLOT_WORDS * MAX_DATABASES) * 8)) {
    this.buffer = buffer
    this.control = new Int32Array(buffer, 0, CONTROL_WORDS * 2)
    this.words = new BigUint64Array(buffer, CONTROL_WORDS * 8)
  }

  static readonly maxDatabases = MAX_DATABASES

  requestStop(): void {
    Atomics.store(this.control, CONTROL.stop, 1)
  }

  get stopRequested(): boolean {
    return Atomics.load(this.control, CONTROL.stop) === 1
  }

  /** Grows with each publication; what `waitForChange` waits on. */
  get changes(): number {
    return Atomics.load(this.control, CONTROL.changes)
  }

  /** Resolves when something was published after `seen`. */
  async waitForChange(seen: number, timeoutMs: number): Promise<void> {
    const result = Atomics.waitAsync(this.control, CONTROL.changes, seen, timeoutMs)
    if (result.async) await result.value
  }

  /** Data plane only. */
  publish(slot: number, state: SlotState): void {
    const at = slot * SLOT_WORDS
    const { words } = this
    const version = Atomics.load(words, at)
    Atomics.store(words, at, version + 1n)
    words[at + WORD.txid] = state.position.txid
    words[at + WORD.checksum] = state.position.checksum
    words[at + WORD.sizePages] = BigInt(state.sizePages)
    words[at + WORD.pageSize] = BigInt(state.pageSize)
    words[at + WORD.flags] = (state.journalMode === 'wal' ? FLAG_WAL : 0n) | (state.tracked ? FLAG_TRACKED : 0n)
    words[at + WORD.backfilledTXID] = state.backfilled.txid
    words[at + WORD.backfilledChecksum] = state.backfilled.checksum
    words[at + WORD.commits] = BigInt(state.commits)
    words[at + WORD.timestampMs] = BigInt(Math.floor(state.timestampMs))
    Atomics.store(words, at, version + 2n)
    Atomics.add(this.control, CONTROL.changes, 1)
    Atomics.notify(this.control, CONTROL.changes)
  }

  read(slot: number): SlotState {
    const at = slot * SLOT_WORDS
    const { words } = this
    for (;;) {
      const version = Atomics.load(words, at + WORD.version)
      const word = (index: number) => words[at + index] as bigint
      const state: SlotState = {
        position: { txid: word(WORD.txid) as TXID, checksum: word(WORD.checksum) as Checksum },
        sizePages: Number(word(WORD.sizePages)),
        pageSize: Number(word(WORD.pageSize)),
        journalMode: (word(WORD.flags) & FLAG_WAL) === 0n ? 'rollback' : 'wal',
        tracked: (word(WORD.flags) & FLAG_TRACKED) !== 0n,
        backfilled: { txid: word(WORD.backfilledTXID) as TXID, checksum: word(WORD.backfilledChecksum) as Checksum },
        commits: Number(word(WORD.commits)),
        timestampMs: Number(word(WORD.timestampMs)),
      }
      if (version % 2n === 0n && Atomics.load(words, at + WORD.version) === version) return state
    }
  }
}
