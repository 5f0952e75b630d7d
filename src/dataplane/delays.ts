/**
 * Replies that wait, so that a database does not commit faster than its replicas apply (`stream.max-lag`). Another
 * thread sends them when they are due (sync-thread.ts), so the data plane serves everything else meanwhile.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs as monotonicMs } from '../util/monotonic.ts'
import { SharedState } from './shared-state.ts'

/** More than the programs that commit at once. Without a free slot a reply does not wait. */
const SLOTS = 256
/** Offsets in 32-bit words. The interval of each database follows, and then the slots. */
const CONTROL = { ready: 0, requests: 1, waiting: 2 } as const
const INTERVALS_AT = 4
const SLOTS_AT = INTERVALS_AT + SharedState.maxDatabases
const SLOT = { state: 0, uniqueLow: 1, uniqueHigh: 2, size: 3, delayUs: 4, deadline: 6 } as const
const SLOT_WORDS = 8
const STATE = { free: 0, waiting: 1, taken: 2 } as const
/** Timers tell no less. A shorter delay is added to the next one. */
const MIN_DELAY_MS = 1
const MAX_DELAY_MS = 1_000
const POLL_MS = 5

/** A reply to a write. */
export interface DelayedReply {
  readonly uniqueLow: number
  readonly uniqueHigh: number
  /** Bytes that were written. */
  readonly size: number
  /** Of the lease under which the write committed; 0 if it did not. */
  readonly deadlineNs: bigint
}

/** The control plane's side, and the data plane's. */
export class Delays {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #nowMs: () => number
  /** When the next commit of each database may come: the data plane's own. */
  readonly #dueMs = new Float64Array(SharedState.maxDatabases)
  #next = 0

  constructor(buffer: SharedArrayBuffer, nowMs = monotonicMs) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer)
    this.#nowMs = nowMs
  }

  static buffer(): SharedArrayBuffer {
    return new SharedArrayBuffer((SLOTS_AT + SLOTS * SLOT_WORDS) * 4)
  }

  /** Control plane only: commits of the database come at most one in so many milliseconds. 0: as they come. */
  setInterval(database: number, intervalMs: number): void {
    Atomics.store(this.#words, INTERVALS_AT + database, Math.round(intervalMs * 1000))
  }

  /** Control plane only: resolves when no reply waits, or after the time. */
  async sent(withinMs = MAX_DELAY_MS + 500): Promise<void> {
    const until = this.#nowMs() + withinMs
    while (Atomics.load(this.#words, CONTROL.waiting) > 0 && this.#nowMs() < until) await sleep(POLL_MS)
  }

  /** Data plane only: leaves the reply to the other thread. False: it is to be sent now. */
  hold(database: number, reply: DelayedReply): boolean {
    const intervalUs = Atomics.load(this.#words, INTERVALS_AT + database)
    if (intervalUs === 0 || Atomics.load(this.#words, CONTROL.ready) === 0) return false
    const nowMs = this.#nowMs()
    const dueMs = Math.max(nowMs, (this.#dueMs[database] as number) + intervalUs / 1000)
    this.#dueMs[database] = Math.min(dueMs, nowMs + MAX_DELAY_MS)
    const delayMs = Math.min(dueMs - nowMs, MAX_DELAY_MS)
    if (delayMs < MIN_DELAY_MS) return false
    // The reply itself must not be late for its lease (I6).
    const { deadlineNs } = reply
    if (deadlineNs !== 0n && Number(deadlineNs / 1_000n) / 1000 < nowMs + 2 * delayMs) return false
    const at = this.#freeSlot()
    if (at === undefined) return false
    const words = this.#words
    words[at + SLOT.uniqueLow] = reply.uniqueLow
    words[at + SLOT.uniqueHigh] = reply.uniqueHigh
    words[at + SLOT.size] = reply.size
    words[at + SLOT.delayUs] = Math.round(delayMs * 1000)
    words[at + SLOT.deadline] = Number(BigInt.asIntN(32, deadlineNs))
    words[at + SLOT.deadline + 1] = Number(deadlineNs >> 32n)
    Atomics.add(words, CONTROL.waiting, 1)
    Atomics.store(words, at, STATE.waiting)
    Atomics.add(words, CONTROL.requests, 1)
    Atomics.notify(words, CONTROL.requests)
    return true
  }

  #freeSlot(): number | undefined {
    for (let tried = 0; tried < SLOTS; tried++) {
      const at = placeOf(this.#next)
      this.#next = (this.#next + 1) % SLOTS
      if (Atomics.load(this.#words, at) === STATE.free) return at
    }
    return undefined
  }
}

/** The other thread's side. */
export class DelayedReplies {
  readonly #words: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
  }

  /** Passes each reply to `send` when it is due, for ever. */
  async serve(send: (reply: DelayedReply) => void): Promise<never> {
    const words = this.#words
    Atomics.store(words, CONTROL.ready, 1)
    for (;;) {
      const seen = Atomics.load(words, CONTROL.requests)
      for (const { reply, delayMs } of this.#take()) {
        setTimeout(() => {
          send(reply)
          Atomics.sub(words, CONTROL.waiting, 1)
        }, delayMs)
      }
      const result = Atomics.waitAsync(words, CONTROL.requests, seen)
      if (result.async) await result.value
    }
  }

  #take(): { reply: DelayedReply; delayMs: number }[] {
    const words = this.#words
    const taken: { reply: DelayedReply; delayMs: number }[] = []
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = placeOf(slot)
      if (Atomics.compareExchange(words, at, STATE.waiting, STATE.taken) !== STATE.waiting) continue
      const low = BigInt((words[at + SLOT.deadline] as number) >>> 0)
      const reply = {
        uniqueLow: words[at + SLOT.uniqueLow] as number,
        uniqueHigh: words[at + SLOT.uniqueHigh] as number,
        size: words[at + SLOT.size] as number,
        deadlineNs: (BigInt(words[at + SLOT.deadline + 1] as number) << 32n) | low,
      }
      taken.push({ reply, delayMs: (words[at + SLOT.delayUs] as number) / 1000 })
      Atomics.store(words, at, STATE.free)
    }
    return taken
  }
}

function placeOf(slot: number): number {
  return SLOTS_AT + slot * SLOT_WORDS
}
