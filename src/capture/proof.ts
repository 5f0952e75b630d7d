/**
 * What is left to be proven of a database file that was not read at the start: which pages nobody has read since, and what each of them
 * must be. In shared memory, because two threads prove pages: the data plane those that are asked for, before anybody gets or
 * overwrites them, and the control plane, unhurriedly, the rest.
 *
 * A page's bit says that it was right once. It is set before the data plane changes that page: who reads a page that is wrong while its
 * bit is not set has found damage, whatever is written meanwhile.
 */

import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Checksum, Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'

const WORD = { pageSize: 0, sizePages: 1, damaged: 2, ended: 3 } as const
const HEADER_WORDS = 4

export class Proof {
  readonly buffer: SharedArrayBuffer
  readonly pageSize: number
  readonly sizePages: number
  readonly #header: Int32Array
  readonly #bits: Int32Array
  readonly #expected: BigUint64Array

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#header = new Int32Array(buffer, 0, HEADER_WORDS)
    this.pageSize = this.#header[WORD.pageSize] as number
    this.sizePages = this.#header[WORD.sizePages] as number
    const sumsAt = HEADER_WORDS * 4
    this.#expected = new BigUint64Array(buffer, sumsAt, this.sizePages)
    this.#bits = new Int32Array(buffer, sumsAt + this.sizePages * 8)
  }

  /** `checksums` of pages 1 …, 0 for the lock page. */
  static of(checksums: BigUint64Array, pageSize: number): Proof {
    const words = HEADER_WORDS + checksums.length * 2 + Math.ceil(checksums.length / 32)
    const buffer = new SharedArrayBuffer(words * 4)
    const header = new Int32Array(buffer)
    header[WORD.pageSize] = pageSize
    header[WORD.sizePages] = checksums.length
    const proof = new Proof(buffer)
    proof.#expected.set(checksums)
    const lock = lockPgno(pageSize)
    if (lock <= checksums.length) proof.#set(lock)
    return proof
  }

  /** A page that the file did not have needs no proof. */
  has(pgno: Pgno): boolean {
    if (pgno > this.sizePages) return true
    return (Atomics.load(this.#bits, (pgno - 1) >> 5) & (1 << ((pgno - 1) & 31))) !== 0
  }

  /** Whether the file's page is what it must be, or was so once. */
  holds(pgno: Pgno, page: Uint8Array): boolean {
    if (this.has(pgno)) return true
    if (pageChecksum(pgno, page) !== (this.#expected[pgno - 1] as Checksum | 0n)) return this.has(pgno)
    this.#set(pgno)
    return true
  }

  /** The file ends after `sizePages`: what was behind is gone. */
  cut(sizePages: number): void {
    for (let pgno = sizePages + 1; pgno <= this.sizePages; pgno++) this.#set(pgno)
  }

  /** The first page from `from` on that is not proven yet. */
  next(from: Pgno): Pgno | undefined {
    for (let pgno = from; pgno <= this.sizePages; pgno++) {
      // A word of pages that are all proven is passed over at once.
      if (((pgno - 1) & 31) === 0 && Atomics.load(this.#bits, (pgno - 1) >> 5) === -1) pgno += 31
      else if (!this.has(pgno)) return pgno
    }
    return undefined
  }

  /** Nothing is left to be proven: all of it was, or the file is no longer this database. */
  get ended(): boolean {
    return Atomics.load(this.#header, WORD.ended) === 1
  }

  end(): void {
    Atomics.store(this.#header, WORD.ended, 1)
  }

  /** The page that was found to be wrong. */
  get damaged(): Pgno | undefined {
    return Atomics.load(this.#header, WORD.damaged) || undefined
  }

  setDamaged(pgno: Pgno): void {
    Atomics.store(this.#header, WORD.damaged, pgno)
  }

  #set(pgno: Pgno): void {
    Atomics.or(this.#bits, (pgno - 1) >> 5, 1 << ((pgno - 1) & 31))
  }
}
