import { HEADER_SIZE } from '../format/header.ts'
import { MAX_VARINT_SIZE, putUvarint } from '../format/varint.ts'

/** Stores bytes that do not fit into memory, and returns them in the same order. */
export interface IndexSpill {
  append(bytes: Uint8Array): void
  /** A chunk is valid until the next one. */
  chunks(): Iterable<Uint8Array>
  /** Called once, when the bytes are no longer needed. */
  close(): void
}

/** Small enough for V8 to allocate it on its own heap, and large enough for most transactions. */
const FIRST_CHUNK_BYTES = 64
const CHUNK_BYTES = 64 * 1024

/**
 * The page index of a file that is being written, in its final form: eight to ten bytes a page. Frames follow each
 * other without a gap. Beyond `spillBytes`, chunks go to the spill, if there is one.
 */
export class FrameList {
  #chunk = new Uint8Array(FIRST_CHUNK_BYTES)
  #used = 0
  readonly #full: Uint8Array[] = []
  #fullBytes = 0
  /** Where the next frame will be. */
  #offset = HEADER_SIZE
  #spill: IndexSpill | undefined
  readonly #openSpill: (() => IndexSpill) | undefined
  readonly #spillBytes: number

  constructor(openSpill?: () => IndexSpill, spillBytes = 1024 * 1024) {
    this.#openSpill = openSpill
    this.#spillBytes = spillBytes
  }

  append(pgno: number, sizeBytes: number): void {
    if (this.#used + 3 * MAX_VARINT_SIZE > this.#chunk.length) this.#rotate()
    const at = putUvarint(this.#chunk, putUvarint(this.#chunk, this.#used, pgno), this.#offset)
    this.#used = putUvarint(this.#chunk, at, sizeBytes)
    this.#offset += sizeBytes
  }

  /** The index's bytes, without the zero that ends it. Each piece is valid until the next one. */
  pieces(): Iterable<Uint8Array> {
    const last = this.#chunk.subarray(0, this.#used)
    if (this.#spill !== undefined) return this.#spilled(this.#spill, last)
    return this.#full.length === 0 ? [last] : [...this.#full, last]
  }

  /** Empties the list and releases the spill. */
  clear(): void {
    this.#spill?.close()
    this.#spill = undefined
    this.#full.length = 0
    this.#fullBytes = 0
    this.#used = 0
    this.#offset = HEADER_SIZE
  }

  *#spilled(spill: IndexSpill, last: Uint8Array): Iterable<Uint8Array> {
    yield* spill.chunks()
    yield* this.#full
    yield last
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
