/**
 * Page numbers in typed arrays, four bytes each. A Set or a Map holds 2^24 entries at most, and a transaction can have
 * more pages.
 */

import type { Pgno } from '../ltx/format/types.ts'

/** An array, or a Uint32Array. */
export type Pgnos = ArrayLike<Pgno> & Iterable<Pgno>

const FIRST_CAPACITY = 64
/** A longer array is not kept for the next transaction. */
const KEPT_CAPACITY = 1 << 16

/** A set of page numbers, in any order. Memory follows what was added, whatever the numbers. */
export class PageList {
  #pgnos = new Uint32Array(FIRST_CAPACITY)
  #length = 0
  /** So many are ascending and distinct. */
  #sorted = 0

  add(pgno: Pgno): void {
    if (this.#length > 0 && this.#pgnos[this.#length - 1] === pgno) return
    if (this.#length === this.#pgnos.length) this.#makeRoom()
    this.#pgnos[this.#length++] = pgno
  }

  /** Ascending and distinct. Valid until the next change. */
  sorted(): Uint32Array {
    if (this.#sorted < this.#length) this.#sort()
    return this.#pgnos.subarray(0, this.#length)
  }

  has(pgno: Pgno): boolean {
    return indexOfPage(this.sorted(), pgno) >= 0
  }

  /** How many pages there are up to that one. */
  countUpTo(pgno: Pgno): number {
    return lowerBound(this.sorted(), pgno + 1)
  }

  get size(): number {
    return this.sorted().length
  }

  clear(): void {
    this.#length = this.#sorted = 0
    if (this.#pgnos.length > KEPT_CAPACITY) this.#pgnos = new Uint32Array(FIRST_CAPACITY)
  }

  #sort(): void {
    const pgnos = this.#pgnos
    pgnos.subarray(0, this.#length).sort()
    let count = 0
    for (let i = 0; i < this.#length; i++)
      if (i === 0 || pgnos[i] !== pgnos[count - 1]) pgnos[count++] = pgnos[i] as Pgno
    this.#length = this.#sorted = count
  }

  /** Doubles are dropped first, and leave room for as many again. */
  #makeRoom(): void {
    this.#sort()
    if (2 * this.#length <= this.#pgnos.length) return
    const larger = new Uint32Array(2 * this.#pgnos.length)
    larger.set(this.#pgnos)
    this.#pgnos = larger
  }
}

/** For each distinct page of a list of WAL frames, the index of the last frame that holds it: eight bytes a page. */
export class NewestFrames {
  /** Ascending. */
  readonly pgnos: Uint32Array
  readonly #frames: Uint32Array

  /** `frames`: the page of each frame. */
  constructor(frames: Uint32Array) {
    // One word for each frame, the page above the index, sorts by page and then by index.
    const keys = new BigUint64Array(frames.length)
    const words = new Uint32Array(keys.buffer)
    for (let i = 0; i < frames.length; i++) {
      words[2 * i] = i
      words[2 * i + 1] = frames[i] as Pgno
    }
    keys.sort()
    let count = 0
    for (let i = 0; i < frames.length; i++) {
      if (count > 0 && words[2 * count - 1] === words[2 * i + 1]) count--
      words[2 * count] = words[2 * i] as number
      words[2 * count + 1] = words[2 * i + 1] as number
      count++
    }
    this.pgnos = new Uint32Array(count)
    this.#frames = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      this.#frames[i] = words[2 * i] as number
      this.pgnos[i] = words[2 * i + 1] as Pgno
    }
  }

  get(pgno: Pgno): number | undefined {
    const index = indexOfPage(this.pgnos, pgno)
    return index < 0 ? undefined : this.#frames[index]
  }
}

/** The index of a page in an ascending list; negative if it is not there. */
export function indexOfPage(pgnos: ArrayLike<Pgno>, pgno: Pgno): number {
  const at = lowerBound(pgnos, pgno)
  return pgnos[at] === pgno ? at : -1
}

/** In an ascending list, the index of the first page that is not below `pgno`. */
export function lowerBound(pgnos: ArrayLike<Pgno>, pgno: Pgno): number {
  let low = 0
  for (let high = pgnos.length; low < high;) {
    const middle = (low + high) >>> 1
    if ((pgnos[middle] as Pgno) < pgno) low = middle + 1
    else high = middle
  }
  return low
}
