import { LTXError } from '../format/errors.ts'
import { HEADER_SIZE } from '../format/header.ts'
import { UvarintReader } from '../format/varint.ts'
import { SequenceHash } from '../kernels/decoded-frames.ts'

const MAX_U32 = 0xffffffff
const OTHER_FRAMES = 'names other pages or sizes than the file has'
/** The longest entry that #readEntries reads: page number and size of four bytes each, an offset of eight. */
const PLAIN_ENTRY_BYTES = 16
const FIELDS = ['page number', 'offset', 'size'] as const

/**
 * Compares a page index with the decoded frames, in memory that grows with neither. Frames follow each other, so
 * offsets follow from sizes; numbers and sizes are compared by a running hash, as superfly/ltx does.
 */
export class IndexCheck {
  readonly #frames = new SequenceHash()
  readonly #entries = new SequenceHash()
  readonly #varint = new UvarintReader()
  readonly #entry = [0, 0, 0]
  #field = 0
  #nextOffset = HEADER_SIZE
  #prevPgno = 0
  /** Bytes of the index, the zero that ends it included. */
  sizeBytes = 0
  #varintBytes = 0

  get frameCount(): number {
    return this.#frames.count
  }

  /** Adds a frame that was decoded. */
  frame(pgno: number, sizeBytes: number): void {
    this.#frames.add(pgno, sizeBytes)
  }

  /** The hash over the frames, for the kernels to continue. */
  get frames(): SequenceHash {
    return this.#frames
  }

  /**
   * Reads the index's next bytes, the first of which is byte `offset` of the file. Returns how many of them belong to
   * the index, and whether it has ended.
   */
  read(bytes: Uint8Array, offset: number): { used: number; ended: boolean } {
    for (let at = 0; at < bytes.length; at++) {
      if (this.#field === 0 && this.#varintBytes === 0) at = this.#readEntries(bytes, at)
      if (at === bytes.length) break
      this.sizeBytes++
      this.#varintBytes++
      const value = this.#varint.read(bytes[at]!)
      if (value === undefined) continue
      const place = offset + at + 1 - this.#varintBytes
      this.#varintBytes = 0
      if (Number.isNaN(value)) throw this.#invalid(`${FIELDS[this.#field]} is out of range`, place)
      if (this.#field === 0 && value === 0) {
        this.#end(place)
        return { used: at + 1, ended: true }
      }
      this.#entry[this.#field] = value
      this.#field = (this.#field + 1) % 3
      if (this.#field === 0) this.#add(place)
    }
    return { used: bytes.length, ended: false }
  }

  /**
   * The fast path for common entries: whole ones, with page numbers in order, numbers of up to four bytes, and the
   * expected offset. Returns where the first other entry begins. `read` reads that one byte by byte.
   */
  #readEntries(bytes: Uint8Array, start: number): number {
    const entries = this.#entries
    const frameCount = this.#frames.count
    let prevPgno = this.#prevPgno
    let offset = this.#nextOffset
    let at = start
    for (let next = at; bytes.length - next >= PLAIN_ENTRY_BYTES; at = next) {
      let byte = bytes[next++]!
      let pgno = byte & 0x7f
      for (let shift = 7; byte >= 0x80 && shift < 28; shift += 7) pgno |= ((byte = bytes[next++]!) & 0x7f) << shift
      if (pgno <= prevPgno || byte >= 0x80 || entries.count === frameCount) break
      // The offset may exceed 32 bits: compare its bytes with the expected ones.
      let expected = offset
      while (expected >= 0x80 && bytes[next] === ((expected % 0x80) | 0x80)) {
        expected = Math.floor(expected / 0x80)
        next++
      }
      if (bytes[next++] !== expected) break
      byte = bytes[next++]!
      let size = byte & 0x7f
      for (let shift = 7; byte >= 0x80 && shift < 28; shift += 7) size |= ((byte = bytes[next++]!) & 0x7f) << shift
      if (byte >= 0x80) break
      entries.add(pgno, size)
      prevPgno = pgno
      offset += size
    }
    this.sizeBytes += at - start
    this.#prevPgno = prevPgno
    this.#nextOffset = offset
    return at
  }

  #add(place: number): void {
    const [pgno, offset, size] = this.#entry as [number, number, number]
    if (pgno <= this.#prevPgno) throw this.#invalid(`page ${pgno} follows page ${this.#prevPgno}`, place)
    if (this.#entries.count === this.#frames.count) {
      throw this.#invalid(`has more entries than the ${this.#frames.count} pages in the file`, place)
    }
    if (offset !== this.#nextOffset) {
      throw this.#invalid(`page ${pgno} starts at byte ${offset}: expected ${this.#nextOffset}`, place)
    }
    if (pgno > MAX_U32 || size > MAX_U32) throw this.#invalid(OTHER_FRAMES, place)
    this.#entries.add(pgno, size)
    this.#prevPgno = pgno
    this.#nextOffset += size
  }

  #end(place: number): void {
    if (this.#entries.count !== this.#frames.count) {
      throw this.#invalid(`has ${this.#entries.count} entries for ${this.#frames.count} pages`, place)
    }
    if (!this.#entries.equals(this.#frames)) throw this.#invalid(OTHER_FRAMES, place)
  }

  #invalid(problem: string, offset: number): LTXError {
    return new LTXError(problem, { offset, field: 'page index' })
  }
}
