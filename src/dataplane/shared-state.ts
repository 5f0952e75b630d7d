/**
 * The memory that both threads share. The data plane publishes one slot for each database, and is its only writer; a
 * reader retries while the slot's version is odd or has changed. The control plane publishes the node's role in the
 * same way.
 */

import type { Awaiting } from '../capture/authority.ts'
import { RequestCounts } from '../fuse/protocol/request-counts.ts'
import type { TXID } from '../ltx/format/types.ts'
import { publishSlot, readSlot, SLOT_WORDS, type SlotState, WORD } from './shared-slot.ts'

const CONTROL_WORDS = 48
const REQUEST_WORDS = RequestCounts.sizeBytes / 8
const WORDS_BEFORE_SLOTS = CONTROL_WORDS + REQUEST_WORDS

/** Offsets in 32-bit words. */
const CONTROL = {
  stop: 0,
  changes: 2,
  leads: 4,
  clientPid: 6,
  lagMs: 8,
  primaryVersion: 12,
  primaryLength: 14,
  committing: 16,
  announced: 18,
  turn: 20,
  releases: 22,
  cutOff: 24,
  awaiting: 26,
  syncFailed: 28,
  lateClientPid: 30,
} as const
const AWAITING: readonly Awaiting[] = ['nothing', 'writes', 'opens']
/** Offset in 64-bit words. */
const DEADLINE = 5
const PRIMARY_AT = 128
const PRIMARY_SIZE = CONTROL_WORDS * 8 - PRIMARY_AT
export class SharedState {
  readonly buffer: SharedArrayBuffer
  /** Counts of the kernel's requests. */
  readonly requests: RequestCounts
  readonly #control: Int32Array
  readonly #deadline: BigInt64Array
  readonly #primary: Uint8Array
  readonly #words: BigUint64Array

  constructor(buffer = new SharedArrayBuffer((WORDS_BEFORE_SLOTS + SLOT_WORDS * SharedState.maxDatabases) * 8)) {
    this.buffer = buffer
    this.#control = new Int32Array(buffer, 0, CONTROL_WORDS * 2)
    this.#deadline = new BigInt64Array(buffer, DEADLINE * 8, 1)
    this.#primary = new Uint8Array(buffer, PRIMARY_AT, PRIMARY_SIZE)
    this.requests = new RequestCounts(buffer, CONTROL_WORDS * 8)
    this.#words = new BigUint64Array(buffer, WORDS_BEFORE_SLOTS * 8)
  }

  static readonly maxDatabases = 16384

  requestStop(): void {
    Atomics.store(this.#control, CONTROL.stop, 1)
  }

  get stopRequested(): boolean {
    return Atomics.load(this.#control, CONTROL.stop) === 1
  }

  /** Ends what applications with open files can still do, before the mount goes. */
  requestCutOff(): void {
    Atomics.store(this.#control, CONTROL.cutOff, 1)
  }

  get cutOffRequested(): boolean {
    return Atomics.load(this.#control, CONTROL.cutOff) === 1
  }

  /** The data plane has no timers: it does what has waited when this was called, after its next request. */
  requestTurn(): void {
    Atomics.store(this.#control, CONTROL.turn, 1)
  }

  /** Data plane only: whether that was requested since the last call. */
  takeTurn(): boolean {
    return Atomics.load(this.#control, CONTROL.turn) === 1 && Atomics.exchange(this.#control, CONTROL.turn, 0) === 1
  }

  /** An fsync on another thread has failed, which its log does not know yet. */
  noteSyncFailed(): void {
    Atomics.store(this.#control, CONTROL.syncFailed, 1)
  }

  /** Data plane only: whether that was noted since the last call. */
  takeSyncFailed(): boolean {
    return Atomics.exchange(this.#control, CONTROL.syncFailed, 0) === 1
  }

  /**
   * Control plane only: the database of the slot was dropped with transaction `txid`, and nothing needs its log. Takes
   * effect at the data plane's next turn.
   */
  allowRelease(slot: number, txid: TXID): void {
    Atomics.store(this.#words, slot * SLOT_WORDS + WORD.releasableTXID, txid)
    Atomics.store(this.#control, CONTROL.releases, 1)
  }

  /** Data plane only: whether `allowRelease` was called since the last call. */
  takeReleases(): boolean {
    return Atomics.exchange(this.#control, CONTROL.releases, 0) === 1
  }

  /** Data plane only: not all that is allowed was released yet. */
  keepReleases(): void {
    Atomics.store(this.#control, CONTROL.releases, 1)
  }

  /** Data plane only: the drop after which the slot may be released; 0 while it may not. */
  releasable(slot: number): TXID {
    return Atomics.load(this.#words, slot * SLOT_WORDS + WORD.releasableTXID) as TXID
  }

  /** Control plane only, after the data plane has released the slot: nobody reads it any more. */
  giveBack(slot: number): void {
    Atomics.store(this.#words, slot * SLOT_WORDS + WORD.returned, 1n)
  }

  /** Data plane only: whether a released slot was given back. It can be used for another database then. */
  takeBack(slot: number): boolean {
    const at = slot * SLOT_WORDS
    if (Atomics.exchange(this.#words, at + WORD.returned, 0n) === 0n) return false
    Atomics.store(this.#words, at + WORD.releasableTXID, 0n)
    return true
  }

  /** Grows with each publication; `waitForChange` waits on it. */
  get changes(): number {
    return Atomics.load(this.#control, CONTROL.changes)
  }

  /** Ends all waits for a change. */
  wake(): void {
    Atomics.add(this.#control, CONTROL.changes, 1)
    Atomics.notify(this.#control, CONTROL.changes)
  }

  /** Resolves when something was published after `seen`. */
  async waitForChange(seen: number, timeoutMs: number): Promise<void> {
    const result = Atomics.waitAsync(this.#control, CONTROL.changes, seen, timeoutMs)
    if (result.async) await result.value
  }

  /** Whether the node's role allows applications to commit. */
  get leads(): boolean {
    return Atomics.load(this.#control, CONTROL.leads) === 1
  }

  set leads(leads: boolean) {
    Atomics.store(this.#control, CONTROL.leads, leads ? 1 : 0)
  }

  /** What waits until the node's role is known. */
  get awaiting(): Awaiting {
    return AWAITING[Atomics.load(this.#control, CONTROL.awaiting)] ?? 'nothing'
  }

  set awaiting(awaiting: Awaiting) {
    Atomics.store(this.#control, CONTROL.awaiting, AWAITING.indexOf(awaiting))
  }

  /** The deadline for commits, in nanoseconds of the clock that all threads share (process.hrtime). */
  get deadlineNs(): bigint {
    return Atomics.load(this.#deadline, 0)
  }

  set deadlineNs(deadlineNs: bigint) {
    Atomics.store(this.#deadline, 0, deadlineNs)
  }

  /**
   * Data plane only: called before it checks whether it may commit. The result of that check is valid until
   * `endCommit`, after the answer. A fence waits for that (`commitEnded`).
   */
  beginCommit(): void {
    Atomics.store(this.#control, CONTROL.committing, 1)
  }

  endCommit(): void {
    Atomics.store(this.#control, CONTROL.committing, 0)
    Atomics.notify(this.#control, CONTROL.committing)
  }

  /**
   * Resolves with true when the commit that is under way has ended, regardless of later ones; with false after the
   * timeout.
   */
  async commitEnded(timeoutMs: number): Promise<boolean> {
    const { value } = Atomics.waitAsync(this.#control, CONTROL.committing, 1, timeoutMs)
    return (await value) !== 'timed-out'
  }

  /**
   * The number of messages about databases that the data plane has sent. After as many, the control plane knows them
   * all.
   */
  get announced(): number {
    return Atomics.load(this.#control, CONTROL.announced)
  }

  /** Data plane only: called before it sends such a message. */
  announce(): void {
    Atomics.add(this.#control, CONTROL.announced, 1)
  }

  /** The pid of the local client; 0 while there is none. */
  get clientPid(): number {
    return Atomics.load(this.#control, CONTROL.clientPid)
  }

  set clientPid(pid: number) {
    Atomics.store(this.#control, CONTROL.clientPid, pid)
  }

  /** The pid of the client that brings a withheld database forward while this node leads; 0 while there is none. */
  get lateClientPid(): number {
    return Atomics.load(this.#control, CONTROL.lateClientPid)
  }

  set lateClientPid(pid: number) {
    Atomics.store(this.#control, CONTROL.lateClientPid, pid)
  }

  /** The lag of a replica in milliseconds; undefined on a primary, and while it is not known. */
  get lagMs(): number | undefined {
    const lagMs = Atomics.load(this.#control, CONTROL.lagMs)
    return lagMs === 0 ? undefined : lagMs - 1
  }

  set lagMs(lagMs: number | undefined) {
    Atomics.store(this.#control, CONTROL.lagMs, lagMs === undefined ? 0 : Math.min(Math.round(lagMs), 2 ** 31 - 2) + 1)
  }

  /** The primary's hostname; undefined on the primary itself, and while none is known. */
  get primaryHostname(): string | undefined {
    for (;;) {
      const version = Atomics.load(this.#control, CONTROL.primaryVersion)
      const length = Atomics.load(this.#control, CONTROL.primaryLength)
      const text = Buffer.from(this.#primary.slice(0, length)).toString()
      if (version % 2 === 0 && Atomics.load(this.#control, CONTROL.primaryVersion) === version) return text || undefined
    }
  }

  set primaryHostname(hostname: string | undefined) {
    const bytes = Buffer.from(hostname ?? '').subarray(0, PRIMARY_SIZE)
    Atomics.add(this.#control, CONTROL.primaryVersion, 1)
    this.#primary.set(bytes)
    Atomics.store(this.#control, CONTROL.primaryLength, bytes.length)
    Atomics.add(this.#control, CONTROL.primaryVersion, 1)
  }

  /** Data plane only. */
  publish(slot: number, state: SlotState): void {
    publishSlot(this.#words, slot, state)
    this.wake()
  }

  read(slot: number): SlotState {
    return readSlot(this.#words, slot)
  }
}
