import { Signal } from './signal.ts'

/** Bytes that arrive in pieces, for one reader, which may be slower. What limits them is the sender's window. */
export class Body implements AsyncIterable<Uint8Array> {
  readonly #consumed: (bytes: number) => void
  readonly #signal = new Signal()
  #chunks: Uint8Array[] = []
  #state: 'open' | 'ended' | Error = 'open'
  #discarding = false

  /** `consumed` is told of each piece once its reader asks for the next, or it was thrown away. */
  constructor(consumed: (bytes: number) => void) {
    this.#consumed = consumed
  }

  /** Broken off before its end. */
  get failed(): boolean {
    return this.#state instanceof Error
  }

  push(chunk: Uint8Array): void {
    if (this.#discarding) {
      this.#consumed(chunk.length)
      return
    }
    this.#chunks.push(chunk)
    this.#signal.wake()
  }

  end(): void {
    if (this.#state === 'open') this.#state = 'ended'
    this.#signal.wake()
  }

  /** The reader gets the error, at once. */
  fail(error: Error): void {
    if (this.#state === 'open') this.#state = error
    this.discard()
    this.#signal.wake()
  }

  /** Nobody reads the rest. */
  discard(): void {
    this.#discarding = true
    for (const chunk of this.#chunks) this.#consumed(chunk.length)
    this.#chunks = []
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const more = this.#signal.next
        const chunk = this.#chunks.shift()
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
}
