import { Signal } from './signal.ts'

/** Smaller pieces are collected into larger ones: each piece costs memory beyond its bytes. */
const SMALL_BYTES = 4096
const COLLECTED_BYTES = 64 * 1024

/** Bytes that arrive in pieces, for one reader, which may be slower. The sender's window limits how many wait. */
export class Body implements AsyncIterable<Uint8Array> {
  readonly #consumed: (bytes: number) => void
  readonly #signal = new Signal()
  #chunks: Uint8Array[] = []
  /** Chunks before this one have been read. */
  #next = 0
  /** Small pieces that came after the last chunk, in the first `#smallBytes` bytes. */
  #small = new Uint8Array(0)
  #smallBytes = 0
  #state: 'open' | 'ended' | Error = 'open'
  #discarding = false

  /** `consumed` is called for each piece when its reader requests the next one, or when the piece is discarded. */
  constructor(consumed: (bytes: number) => void) {
    this.#consumed = consumed
  }

  /** It was aborted before its end. */
  get failed(): boolean {
    return this.#state instanceof Error
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    if (this.#discarding) {
      this.#consumed(chunk.length)
      return
    }
    if (chunk.length < SMALL_BYTES) {
      this.#collect(chunk)
    } else {
      this.#endSmall()
      this.#chunks.push(chunk)
    }
    this.#signal.wake()
  }

  end(): void {
    if (this.#state === 'open') this.#state = 'ended'
    this.#signal.wake()
  }

  /** The reader gets the error at once. */
  fail(error: Error): void {
    if (this.#state === 'open') this.#state = error
    this.discard()
    this.#signal.wake()
  }

  /** The rest will not be read. */
  discard(): void {
    this.#discarding = true
    for (let chunk = this.#take(); chunk !== undefined; chunk = this.#take()) this.#consumed(chunk.length)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const more = this.#signal.next
        const chunk = this.#take()
        if (chunk !== undefined) {
          try {
            yield chunk
          } finally {
            this.#consumed(chunk.length)
          }
        } else if (this.#state === 'open') {
          await more
        } else {
          if (this.#state !== 'ended') throw this.#state
          return
        }
      }
    } finally {
      this.discard()
    }
  }

  #collect(piece: Uint8Array): void {
    const length = this.#smallBytes + piece.length
    if (length > COLLECTED_BYTES) {
      this.#endSmall()
      this.#collect(piece)
      return
    }
    if (this.#small.length < length) {
      const larger = new Uint8Array(Math.min(COLLECTED_BYTES, Math.max(2 * this.#smallBytes, length)))
      larger.set(this.#small.subarray(0, this.#smallBytes))
      this.#small = larger
    }
    this.#small.set(piece, this.#smallBytes)
    this.#smallBytes = length
  }

  #endSmall(): void {
    if (this.#smallBytes === 0) return
    this.#chunks.push(this.#small.subarray(0, this.#smallBytes))
    this.#small = new Uint8Array(0)
    this.#smallBytes = 0
  }

  #take(): Uint8Array | undefined {
    if (this.#next === this.#chunks.length) {
      this.#chunks = []
      this.#next = 0
      this.#endSmall()
    }
    const chunk = this.#chunks[this.#next]
    if (chunk !== undefined) this.#next++
    return chunk
  }
}
