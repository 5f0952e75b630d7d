/**
 * Tracks which pages of a database file are still unverified, and the checksum that each page must have. Recovery
 * creates one for a file that it did not read whole. It lies in shared memory because two threads verify pages: the
 * data plane before it serves or overwrites a page, and the control plane in the background.
 *
 * A page's bit means that the page was correct once. The data plane sets the bit before it changes the page. A reader
 * that finds a wrong page while its bit is unset has therefore found damage, whatever is written meanwhile.
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

  /** `checksums` holds those of pages 1, 2, …, with 0 for the lock page. */
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

  /** Whether `pgno` is verified. Pages beyond the file's original end count as verified. */
  has(pgno: Pgno): boolean {
    if (pgno > this.sizePages) return true
    return (Atomics.load(this.#bits, (pgno - 1) >> 5) & (1 << ((pgno - 1) & 31))) !== 0
  }

  /** Verifies `page` as the content of `pgno`. True if it is correct, or was verified before. */
  holds(pgno: Pgno, page: Uint8Array): boolean {
    if (this.has(pgno)) return true
    if (pageChecksum(pgno, page) !== (this.#expected[pgno - 1] as Checksum | 0n)) return this.has(pgno)
    this.#set(pgno)
    return true
  }

  /** The file was truncated to `sizePages`: pages beyond that need no verification. */
  cut(sizePages: number): void {
    for (let pgno = sizePages + 1; pgno <= this.sizePages; pgno++) this.#set(pgno)
  }

  /** The first unverified page at or after `from`. */
  next(from: Pgno): Pgno | undefined {
    for (let pgno = from; pgno <= this.sizePages; pgno++) {
      // Skip 32 verified pages at once.
      if (((pgno - 1) & 31) === 0 && Atomics.load(this.#bits, (pgno - 1) >> 5) === -1) pgno += 31
      else if (!this.has(pgno)) return pgno
    }
    return undefined
  }

  /** Whether verification is over: every page was verified, or the file no longer belongs to this database. */
  get ended(): boolean {
    return Atomics.load(this.#header, WORD.ended) === 1
  }

  end(): void {
    Atomics.store(this.#header, WORD.ended, 1)
  }

  /** The page that was found damaged, if any. */
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
