/** The kinds of input. They are structural types, so that neither DOM nor Node types are needed. */

/** A ReadableStream of bytes: the body of a Response, or the result of `blob.stream()`. */
export interface ByteStream {
  getReader(): ByteStreamReader
}

/** The reader of a ByteStream. */
export interface ByteStreamReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  cancel(reason?: unknown): Promise<unknown>
  releaseLock(): void
}

/** A Blob or a File. */
export interface ByteBlob {
  /** Bytes. */
  readonly size: number
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> }
  stream(): ByteStream
}

/** One file's bytes: whole, or in chunks of any size. A chunk must stay unchanged until the next one is requested. */
export type ByteInput = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ByteStream | ByteBlob

/** The chunks of an input of any kind. Throws TypeError if it is of another kind. */
export function chunksOf(input: ByteInput): AsyncIterable<Uint8Array> {
  if (input instanceof Uint8Array) return each([input])
  // Streams of Node and Deno have both. Prefer the iterator, which also cancels.
  if (Symbol.asyncIterator in input) return input
  if ('getReader' in input) return readerChunks(input)
  if ('stream' in input) return chunksOf(input.stream())
  if (Symbol.iterator in input) return each(input)
  throw new TypeError(
    'expected the bytes of a file: a Uint8Array, a Blob, a ReadableStream, or an iterable of Uint8Arrays',
  )
}

async function* each(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  yield* chunks
}

/** For browsers whose streams cannot be iterated. */
async function* readerChunks(stream: ByteStream): AsyncGenerator<Uint8Array, void, void> {
  const reader = stream.getReader()
  let ended = false
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (value !== undefined) yield value
    }
    ended = true
  } finally {
    // If reading failed there is nothing to cancel: this rejects with the error that is already being thrown.
    if (!ended) await reader.cancel().catch(() => {})
    reader.releaseLock()
  }
}
