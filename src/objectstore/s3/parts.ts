/** Divides a body of unknown length into parts for an upload. */

const FIRST_ALLOCATION_BYTES = 64 * 1024

/**
 * The bytes of `body` in parts of `sizeOf(index)` bytes, the last one shorter: at least one part, which may be empty.
 * Each part owns its memory, about as much as it holds.
 */
export async function* cutIntoParts(
  body: AsyncIterable<Uint8Array>,
  sizeOf: (index: number) => number,
): AsyncGenerator<Uint8Array, void> {
  let index = 0
  let part = new Part(sizeOf(index))
  for await (const chunk of body) {
    let rest = chunk
    while (rest.length > 0) {
      if (part.isFull) {
        yield part.bytes()
        part = new Part(sizeOf(++index))
      }
      rest = part.take(rest)
    }
  }
  yield part.bytes()
}

class Part {
  readonly #limit: number
  #buffer: Uint8Array
  #length = 0

  constructor(limit: number) {
    this.#limit = limit
    this.#buffer = new Uint8Array(Math.min(limit, FIRST_ALLOCATION_BYTES))
  }

  get isFull(): boolean {
    return this.#length === this.#limit
  }

  /** Copies as much as fits, because the source may reuse a chunk once the next one is requested. Returns the rest. */
  take(chunk: Uint8Array): Uint8Array {
    const count = Math.min(chunk.length, this.#limit - this.#length)
    this.#reserve(this.#length + count)
    this.#buffer.set(chunk.subarray(0, count), this.#length)
    this.#length += count
    return chunk.subarray(count)
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return
    const larger = new Uint8Array(Math.min(this.#limit, Math.max(length, 2 * this.#buffer.length)))
    larger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = larger
  }
}
