import type { WalHeader } from '../sqlite/wal.ts'
import { FRAME_HEADER_SIZE, frameField, WalChecksum } from '../sqlite/wal.ts'

/** A pair of running checksums. */
export interface Sums {
  readonly s1: number
  readonly s2: number
}

/** Sums at the end of a transaction. */
interface SumsAt extends Sums {
  readonly end: number
}

/**
 * The chain of checksums through a WAL: the sums of each frame continue those of the frame before.
 *
 * After a transaction whose frames were mended (wal-mending.ts) there are two chains. The writer continues from the
 * sums that it has in memory, and publishes them in the wal-index for the writers that follow. A connection that
 * recovers the wal-index continues from the sums in the file. So the first frame of a transaction may continue either.
 */
export class WalChain {
  /** The sums at the end of the valid frames. */
  #s1 = 0
  #s2 = 0
  /** The sums at the end of the committed frames, in the file. */
  #file1 = 0
  #file2 = 0
  /** For each commit after which the writers' sums were not those of the file: the writers' sums. */
  #published: SumsAt[] = []
  /** The writers' sums at the end of the committed frames, where they are not the file's. */
  #writer: SumsAt | undefined
  /** The frames since continue the file's sums. */
  #continuesFile = true
  #isBigEndian = false
  readonly #checksum = new WalChecksum()

  /** The WAL begins with this header. */
  begin({ checksum1, checksum2, bigEndianChecksums }: WalHeader): void {
    this.#isBigEndian = bigEndianChecksums
    this.#published = []
    this.#writer = undefined
    this.#file1 = checksum1
    this.#file2 = checksum2
    this.rewind()
  }

  /** Whether the frames since the last commit continue sums that the file does not have. */
  get isSkewed(): boolean {
    return !this.#continuesFile
  }

  /** The sums in the file at the end of the committed frames. */
  get file(): Sums {
    return { s1: this.#file1, s2: this.#file2 }
  }

  /** Whether the frame continues the valid ones; `isFirst`: of its transaction. `accept` or `commit` follows. */
  isContinuedBy(view: DataView, size: number, isFirst: boolean): boolean {
    if (this.#fits(view, size)) return true
    if (!isFirst || this.#writer === undefined || this.#continuesFile) return false
    this.continueFrom(this.file)
    this.#continuesFile = true
    if (this.#fits(view, size)) return true
    this.rewind()
    return false
  }

  /** The frame is valid. */
  accept(): void {
    this.#s1 = this.#checksum.s1
    this.#s2 = this.#checksum.s2
  }

  /** The next frame continues these sums. */
  continueFrom({ s1, s2 }: Sums): void {
    this.#s1 = s1
    this.#s2 = s2
  }

  /** The valid frames end where the committed ones do. */
  rewind(): void {
    this.#continuesFile = this.#writer === undefined
    this.#s1 = this.#writer?.s1 ?? this.#file1
    this.#s2 = this.#writer?.s2 ?? this.#file2
  }

  /**
   * The frame ends a transaction at `end`. `published`: the sums that the writer continues, if not those of the frame.
   * `file`: the sums that the file has, if not the writer's.
   */
  commit(end: number, published?: Sums, file?: Sums): void {
    if (published === undefined) this.accept()
    else this.continueFrom(published)
    this.#writer = undefined
    this.#file1 = file?.s1 ?? this.#s1
    this.#file2 = file?.s2 ?? this.#s2
    if (this.#file1 !== this.#s1 || this.#file2 !== this.#s2) {
      this.#writer = { end, s1: this.#s1, s2: this.#s2 }
      this.#published.push(this.#writer)
    }
    this.rewind()
  }

  /** The transactions after `end` are abandoned. The file has the sums `file` there. */
  abandonAfter(end: number, { s1, s2 }: Sums): void {
    this.#file1 = s1
    this.#file2 = s2
    this.#published = this.#published.filter((at) => at.end <= end)
    this.#writer = this.#published.find((at) => at.end === end)
    this.rewind()
  }

  #fits(view: DataView, size: number): boolean {
    this.#checksum.set(this.#s1, this.#s2).update(view, 0, 8, this.#isBigEndian)
    this.#checksum.update(view, FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE, this.#isBigEndian)
    return this.#checksum.is(frameField.checksum1(view, 0), frameField.checksum2(view, 0))
  }
}
