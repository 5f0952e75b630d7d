/**
 * fsyncs that the data plane leaves to another thread (sync-thread.ts), so that one database's does not hold up all the others: a disk takes several
 * at once. What both threads know of them lies in shared memory. The other thread answers the request, too.
 */

import type { PendingSync, SyncStarter } from '../log/pending-sync.ts'

/** More than threads wait for the disk: who finds no slot syncs by himself. */
const SLOTS = 64
/** Places of 32-bit words: of the whole, and in each slot. */
const CONTROL = { ready: 0, requests: 1 } as const
const CONTROL_WORDS = 2
const SLOT = { state: 0, fd: 1, uniqueLow: 2, uniqueHigh: 3 } as const
const SLOT_WORDS = 4
const STATE = { prepared: 0, requested: 1, running: 2, done: 3, failed: 4 } as const

/** A log that is synced alone is synced where that is asked for, which takes no change of threads. So long after another one was, somebody may be waiting. */
const SHARED_MS = 5

/** The data plane's side. */
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

  prepare(fd: number): PendingSync | undefined {
    const nowMs = this.#nowMs()
    if (this.#lastFd !== undefined && fd !== this.#lastFd) this.#changedAtMs = nowMs
    this.#lastFd = fd
    if (nowMs - this.#changedAtMs > SHARED_MS || Atomics.load(this.#words, CONTROL.ready) === 0) return undefined
    const slot = this.#freeSlot()
    return slot === undefined ? undefined : (this.#slots[slot] = new SharedSync(this.#words, slot, fd))
  }

  #freeSlot(): number | undefined {
    for (let tried = 0; tried < SLOTS; tried++) {
      const slot = this.#next
      this.#next = (slot + 1) % SLOTS
      if (this.#slots[slot]?.state === 'running') continue
      this.#slots[slot]?.settle()
      return slot
    }
    return undefined
  }
}

class SharedSync implements PendingSync {
  readonly #words: Int32Array
  readonly #at: number
  /** Once the slot may be another's. */
  #settled: PendingSync['state'] | undefined

  constructor(words: Int32Array, slot: number, fd: number) {
    this.#words = words
    this.#at = placeOf(slot)
    Atomics.store(words, this.#at + SLOT.state, STATE.prepared)
    Atomics.store(words, this.#at + SLOT.fd, fd)
  }

  get state(): PendingSync['state'] {
    if (this.#settled !== undefined) return this.#settled
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

  settle(): void {
    this.#settled = this.state
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

/** One that has been taken: whom it is for, and what to say when it has ended. */
export interface TakenSync {
  readonly fd: number
  readonly uniqueLow: number
  readonly uniqueHigh: number
  ended(isDone: boolean): void
}

/** The other thread's side. */
export class SyncRequests {
  readonly #words: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
  }

  /** From here on there is somebody to leave an fsync to. */
  ready(): void {
    Atomics.store(this.#words, CONTROL.ready, 1)
  }

  /** Resolves when there is more to take than `seen` requests so far; with their number. */
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
        ended(isDone) {
          Atomics.store(words, at + SLOT.state, isDone ? STATE.done : STATE.failed)
          Atomics.notify(words, at + SLOT.state)
        },
      })
    }
    return taken
  }
}

function placeOf(slot: number): number {
  return CONTROL_WORDS + slot * SLOT_WORDS
}
