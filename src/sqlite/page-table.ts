import assert from 'node:assert/strict'
import type { Checksum, Pgno } from '../ltx/format/types.ts'
import { CHECKSUM_FLAG } from '../ltx/format/types.ts'
import { PageList } from './page-list.ts'
import { WalVersions } from './wal-versions.ts'

/**
 * The data plane's record of each page of a database: the checksum of the newest committed version, and the WAL frame
 * that holds this version until a checkpoint copies it to the database file. 12 bytes a page, and what the WAL costs.
 */
export class PageTable {
  #sums: BigUint64Array
  #frames: Int32Array
  #inWal = 0
  /** The smallest size that the database had since the WAL began. */
  #smallestPages: number
  /** All versions of pages that the WAL holds. */
  readonly versions = new WalVersions()
  /** The pages that a checkpoint has encrypted anew, so that the file has them with other bytes than the WAL. */
  readonly reencrypted = new PageList()
  /** Database size in pages. */
  sizePages = 0

  constructor(checksums: BigUint64Array = new BigUint64Array(0)) {
    this.sizePages = this.#smallestPages = checksums.length
    this.#sums = checksums
    this.#frames = new Int32Array(checksums.length)
  }

  /** 0n when there is no such page. */
  checksum(pgno: Pgno): Checksum | 0n {
    return (this.#sums[pgno - 1] ?? 0n) as Checksum | 0n
  }

  setChecksum(pgno: Pgno, checksum: Checksum): void {
    if (pgno > this.#sums.length) this.#grow(pgno)
    this.#sums[pgno - 1] = checksum
  }

  /** Index of the WAL frame, from 0; -1 when the database file holds the page's newest version. */
  frame(pgno: Pgno): number {
    return (this.#frames[pgno - 1] ?? 0) - 1
  }

  setFrame(pgno: Pgno, frame: number): void {
    if (pgno > this.#frames.length) this.#grow(pgno)
    if (this.#frames[pgno - 1] === 0) this.#inWal++
    this.#frames[pgno - 1] = frame + 1
    this.versions.add(pgno, frame, this.#sums[pgno - 1] as Checksum)
  }

  /** The file lost the page's newest version again, which its newest frame holds. */
  returnToWal(pgno: Pgno): void {
    const [frame] = this.versions.frames(pgno)
    assert.ok(frame !== undefined, 'the newest version of a page with versions in the WAL is one of them')
    if (this.#frames[pgno - 1] === 0) this.#inWal++
    this.#frames[pgno - 1] = frame + 1
  }

  /** The WAL is discarded: another one begins, or none. */
  forgetWal(): void {
    this.versions.clear()
    this.reencrypted.clear()
    this.#smallestPages = this.sizePages
  }

  /**
   * Whether the database file may be cut to that many pages, of which the last may be there in part: every committed
   * page beyond the whole ones has its newest version in the WAL, and some commit in the WAL, or the state before it,
   * had no more pages than that. SQLite takes an empty file for a database without content, and its WAL for a leftover.
   */
  mayCut(pages: number): boolean {
    const sizePages = Math.floor(pages)
    if (sizePages >= this.sizePages) return true
    if (Math.ceil(pages) < Math.max(1, this.#smallestPages) || this.#inWal === 0) return false
    // The lock page has no checksum, and is never in a WAL.
    for (let pgno = sizePages + 1; pgno <= this.sizePages; pgno++) {
      if (this.frame(pgno) < 0 && this.checksum(pgno) !== 0n) return false
    }
    return true
  }

  clearFrame(pgno: Pgno): void {
    if ((this.#frames[pgno - 1] ?? 0) === 0) return
    this.#frames[pgno - 1] = 0
    this.#inWal--
  }

  /** How many pages have their newest version in the WAL only. */
  get pagesInWal(): number {
    return this.#inWal
  }

  /** Those pages, ascending. */
  *listInWal(): Generator<Pgno> {
    for (let i = 0, left = this.#inWal; left > 0 && i < this.#frames.length; i++) {
      if (this.#frames[i] === 0) continue
      left--
      yield i + 1
    }
  }

  /** Sets the database's size. Forgets checksum and frame of each page beyond `sizePages`. */
  resize(sizePages: number): void {
    for (let pgno = sizePages + 1; pgno <= this.sizePages; pgno++) {
      this.#sums[pgno - 1] = 0n
      this.clearFrame(pgno)
    }
    if (sizePages > this.#sums.length) this.#grow(sizePages)
    this.sizePages = sizePages
    if (sizePages > 0) this.#smallestPages = Math.min(this.#smallestPages, sizePages)
  }

  /** The checksums of pages 1 … sizePages; a view, valid until the next change. */
  snapshot(): BigUint64Array {
    return this.#sums.subarray(0, this.sizePages)
  }

  #grow(pages: number): void {
    const capacity = Math.max(64, pages, Math.min(this.#sums.length * 2, this.#sums.length + (1 << 18)))
    const sums = new BigUint64Array(capacity)
    sums.set(this.#sums)
    const frames = new Int32Array(capacity)
    frames.set(this.#frames)
    this.#sums = sums
    this.#frames = frames
  }
}

/** The database checksum after a page's checksum changed from `before` to `after`; 0n means "no page". */
export function exchange(database: Checksum, before: Checksum | 0n, after: Checksum | 0n): Checksum {
  return ((database ^ before ^ after) | CHECKSUM_FLAG) as Checksum
}
