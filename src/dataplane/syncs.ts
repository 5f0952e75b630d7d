/**
 * fsyncs that another thread runs for the data plane (sync-thread.ts), several at once, so that the fsync of one
 * database does not delay the requests of all others. Both threads share the slots in memory. The other thread also
 * answers the FUSE request.
 */

import type { PendingSync, SyncStarter } from '../log/pending-sync.ts'

/** More slots than threads that wait for the disk. Without a free slot, the data plane syncs by itself. */
const SLOTS = 64
/** Offsets in 32-bit words: in the whole, and in each slot. */
const CONTROL = { ready: 0, requests: 1 } as const
const CONTROL_WORDS = 2
const SLOT = { state: 0, fd: 1, uniqueLow: 2, uniqueHigh: 3, deadlineLow: 4, deadlineHigh: 5 } as const
const SLOT_WORDS = 6
const STATE = { prepared: 0, requested: 1, running: 2, done: 3, failed: 4 } as const

/**
 * While only one log is synced, the data plane syncs it directly, which saves the change of threads. For this long
 * after the sync of another log, other requests may be waiting.
 */
const SHARED_MS = 5

/** The data plane's side of the slots. */
export class Syncs implements SyncStarter {
  readonly #words: Int32Array
  readonly #slots: (SharedSync | undefined)[] = new Array<undefined>(SLOTS).fill(undefined)
  readonly #nowMs: () => number
  #next = 0
  #lastFd: number | undefined
  #changedAtMs = -Infinity

  constructor(buffer: SharedArrayBuffer, nowMs = () => performance.now()) {
    this.#words = new Int32Array(buffer)
    this.#nowMs = nowMs
  }

  static buffer(): SharedArrayBuffer {
    return new SharedArrayBuffer((CONTROL_WORDS + SLOTS * SLOT_WORDS) * 4)
  }

  prepare(fd: number, deadlineNs: bigint): PendingSync | undefined {
    const nowMs = this.#nowMs()
    if (this.#lastFd !== undefined && fd !== this.#lastFd) this.#changedAtMs = nowMs
    this.#lastFd = fd
    if (nowMs - this.#changedAtMs > SHARED_MS || Atomics.load(this.#words, CONTROL.ready) === 0) return undefined
    const slot = this.#freeSlot()
    return slot === undefined ? undefined : (this.#slots[slot] = new SharedSync(this.#words, slot, fd, deadlineNs))
  }

  #freeSlot(): number | undefined {
    for (let tried = 0; tried < SLOTS; tried++) {
      const slot = this.#next
      this.#next = (slot + 1) % SLOTS
      if (this.#slots[slot]?.state === 'running') continue
      this.#slots[slot]?.freeze()
      return slot
    }
    return undefined
  }
}

class SharedSync implements PendingSync {
  readonly #words: Int32Array
  readonly #at: number
  /** The state when the slot was given to another fsync. */
  #final: PendingSync['state'] | undefined

  constructor(words: Int32Array, slot: number, fd: number, deadlineNs: bigint) {
    this.#words = words
    this.#at = placeOf(slot)
    Atomics.store(words, this.#at + SLOT.state, STATE.prepared)
    Atomics.store(words, this.#at + SLOT.fd, fd)
    Atomics.store(words, this.#at + SLOT.deadlineLow, Number(BigInt.asIntN(32, deadlineNs)))
    Atomics.store(words, this.#at + SLOT.deadlineHigh, Number(deadlineNs >> 32n))
  }

  get state(): PendingSync['state'] {
    if (this.#final !== undefined) return this.#final
    switch (Atomics.load(this.#words, this.#at + SLOT.state)) {
      case STATE.prepared:
        return 'prepared'
      case STATE.done:
        return 'done'
      case STATE.failed:
        return 'failed'
      default:
        return 'running'
    }
  }

  /** The slot is reused from here on. */
  freeze(): void {
    this.#final = this.state
  }

  answerTo(uniqueLow: number, uniqueHigh: number): void {
    const words = this.#words
    const at = this.#at
    Atomics.store(words, at + SLOT.uniqueLow, uniqueLow | 0)
    Atomics.store(words, at + SLOT.uniqueHigh, uniqueHigh | 0)
    Atomics.store(words, at + SLOT.state, STATE.requested)
    Atomics.add(words, CONTROL.requests, 1)
    Atomics.notify(words, CONTROL.requests)
  }

  wait(): void {
    while (this.state === 'running') {
      const now = Atomics.load(this.#words, this.#at + SLOT.state)
      if (now === STATE.requested || now === STATE.running) Atomics.wait(this.#words, this.#at + SLOT.state, now)
    }
  }
}

/** A slot in use: the request that it belongs to, and the callback at its end. */
export interface TakenSync {
  readonly fd: number
  readonly uniqueLow: number
  readonly uniqueHigh: number
  /** Of the lease under which it was written; 0 without one. */
  readonly deadlineNs: bigint
  ended(isDone: boolean): void
}

/** The other thread's side of the slots. */
export class SyncRequests {
  readonly #words: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
  }

  /** From now on this thread accepts fsyncs. */
  ready(): void {
    Atomics.store(this.#words, CONTROL.ready, 1)
  }

  /** Resolves with the number of requests so far, as soon as it exceeds `seen`. */
  async wait(seen: number): Promise<number> {
    const result = Atomics.waitAsync(this.#words, CONTROL.requests, seen)
    if (result.async) await result.value
    return Atomics.load(this.#words, CONTROL.requests)
  }

  take(): TakenSync[] {
    const words = this.#words
    const taken: TakenSync[] = []
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = placeOf(slot)
      if (Atomics.compareExchange(words, at, STATE.requested, STATE.running) !== STATE.requested) continue
      taken.push({
        fd: Atomics.load(words, at + SLOT.fd),
        uniqueLow: Atomics.load(words, at + SLOT.uniqueLow),
        uniqueHigh: Atomics.load(words, at + SLOT.uniqueHigh),
        deadlineNs: deadlineAt(words, at),
        ended(isDone) {
          Atomics.store(words, at + SLOT.state, isDone ? STATE.done : STATE.failed)
          Atomics.notify(words, at + SLOT.state)
        },
      })
    }
    return taken
  }
}

function deadlineAt(words: Int32Array, at: number): bigint {
  const low = BigInt(Atomics.load(words, at + SLOT.deadlineLow) >>> 0)
  return (BigInt(Atomics.load(words, at + SLOT.deadlineHigh)) << 32n) | low
}

function placeOf(slot: number): number {
  return CONTROL_WORDS + slot * SLOT_WORDS
}
