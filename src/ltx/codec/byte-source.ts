/**
 * Pieces of a stream whose chunks have any size. `source[start …]` holds the gathered piece: in the chunk itself, or,
 * if it crosses chunks, in a buffer that is never larger than the largest requested piece.
 */
export class ByteSource {
  /** The bytes that hold the gathered piece, from `start` on. */
  source: Uint8Array = NOTHING
  start = 0
  /** Offset in the stream of the first byte that has not been consumed. */
  offset = 0
  #chunk: Uint8Array = NOTHING
  #at = 0
  #carry: Uint8Array = NOTHING
  #carried = 0

  /** Bytes of the chunk that have not been consumed or carried over. */
  get rest(): number {
    return this.#chunk.length - this.#at
  }

  /** The chunk is borrowed until it is used up. */
  push(chunk: Uint8Array): void {
    // Node's Buffer has a slow subarray, and code that sees two kinds of arrays is slower for both.
    const plain = chunk.constructor === Uint8Array
    this.#chunk = plain ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
    this.#at = 0
  }

  /** True when the next `size` bytes lie in the chunk itself. Copies nothing. */
  hasInChunk(size: number): boolean {
    return this.#carried === 0 && this.rest >= size
  }

  /** True when the next `size` bytes are available; false when the available ones were copied to wait for more. */
  gather(size: number): boolean {
    if (this.#carried === 0 && this.rest >= size) {
      this.source = this.#chunk
      this.start = this.#at
      return true
    }
    if (this.#carried < size) this.#carryOver(Math.min(size - this.#carried, this.rest), size)
    this.source = this.#carry
    this.start = 0
    return this.#carried >= size
  }

  /** Advances past the piece that was gathered last. */
  consume(size: number): void {
    this.offset += size
    if (this.#carried > 0) this.#carried -= size
    else this.#at += size
  }

  /** Consumes and returns the rest of the chunk. Only after a `consume`, when no bytes are waiting. */
  drain(size = this.rest): Uint8Array {
    const bytes = this.#chunk.subarray(this.#at, this.#at + size)
    this.#at += size
    this.offset += size
    return bytes
  }

  /** The bytes that `drain` would return. */
  peekRest(): Uint8Array {
    return this.#chunk.subarray(this.#at)
  }

  #carryOver(size: number, wanted: number): void {
    if (this.#carry.length < wanted) {
      const larger = new Uint8Array(Math.max(wanted, 2 * this.#carry.length))
      larger.set(this.#carry.subarray(0, this.#carried))
      this.#carry = larger
    }
    this.#carry.set(this.#chunk.subarray(this.#at, this.#at + size), this.#carried)
    this.#carried += size
    this.#at += size
  }
}

const NOTHING = new Uint8Array(0)
