import { putUvarint, MAX_VARINT_SIZE } from './varint.ts'

/** Keeps what does not fit into memory: bytes go in, and come out in the same order. */
export interface IndexSpill {
  append(bytes: Uint8Array): void
  /** A chunk is valid until the next one. */
  chunks(): Iterable<Uint8Array>
  /** Called once, when the bytes are no longer needed. */
  close(): void
}

/** So small that V8 keeps it on its own heap: most transactions need no more. */
const FIRST_CHUNK_BYTES = 64
const CHUNK_BYTES = 64 * 1024

/**
 * The frames that an encoder has written. Frames follow each other without a gap, so number and size of each are enough:
 * two bytes a page for consecutive pages of 4 KiB. Beyond `spillBytes`, chunks go to the spill, if there is one.
 */
export class FrameList {
  #chunk = new Uint8Array(FIRST_CHUNK_BYTES)
  #used = 0
  readonly #full: Uint8Array[] = []
  #fullBytes = 0
  #lastPgno = 0
  #spill: IndexSpill | undefined
  readonly #openSpill: (() => IndexSpill) | undefined
  readonly #spillBytes: number

  constructor(openSpill?: () => IndexSpill, spillBytes = 1024 * 1024) {
    this.#openSpill = openSpill
    this.#spillBytes = spillBytes
  }

  append(pgno: number, sizeBytes: number): void {
    if (this.#used + 2 * MAX_VARINT_SIZE > this.#chunk.length) this.#rotate()
    const gap = pgno - this.#lastPgno
    this.#used = putUvarint(this.#chunk, this.#used, sizeBytes * 2 + (gap === 1 ? 0 : 1))
    if (gap !== 1) this.#used = putUvarint(this.#chunk, this.#used, gap)
    this.#lastPgno = pgno
  }

  /** Every frame, in the order in which they were appended. */
  each(visit: (pgno: number, sizeBytes: number) => void): void {
    let pgno = 0
    // 0: what comes next is a size, no gap.
    let sizeBytes = 0
    let value = 0
    let scale = 1
    for (const chunk of this.#chunks()) {
      // Most of this runs before it is compiled: a loop without calls is several times as fast there.
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at]!
        value += (byte & 0x7f) * scale
        if (byte >= 0x80) {
          scale *= 128
          continue
        }
        if (sizeBytes === 0 && value % 2 === 1) {
          sizeBytes = (value - 1) / 2
        } else {
          pgno += sizeBytes === 0 ? 1 : value
          visit(pgno, sizeBytes === 0 ? value / 2 : sizeBytes)
          sizeBytes = 0
        }
        value = 0
        scale = 1
      }
    }
  }

  /** Empties the list and gives the spill up. */
  clear(): void {
    this.#spill?.close()
    this.#spill = undefined
    this.#full.length = 0
    this.#fullBytes = 0
    this.#used = 0
    this.#lastPgno = 0
  }

  *#chunks(): Iterable<Uint8Array> {
    if (this.#spill !== undefined) yield* this.#spill.chunks()
    yield* this.#full
    yield this.#chunk.subarray(0, this.#used)
  }

  #rotate(): void {
    this.#full.push(this.#chunk.subarray(0, this.#used))
    this.#fullBytes += this.#used
    this.#chunk = new Uint8Array(Math.min(2 * this.#chunk.length, CHUNK_BYTES))
    this.#used = 0
    if (this.#openSpill === undefined || this.#fullBytes < this.#spillBytes) return
    this.#spill ??= this.#openSpill()
    for (const chunk of this.#full) this.#spill.append(chunk)
    this.#full.length = 0
    this.#fullBytes = 0
  }
}
