/** What a stream of bytes may come as. Described by shape, so that neither DOM nor Node types are needed to use it. */

/** A ReadableStream of bytes: the body of a Response, what `blob.stream()` returns. */
export interface ByteStream {
  getReader(): ByteStreamReader
}

/** What reads a ByteStream. */
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

/** One file's bytes: whole, or in chunks of any size, which need to stay as they are only until the next one is asked for. */
export type ByteInput = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ByteStream | ByteBlob

/** The chunks of an input, wherever it comes from. Throws TypeError on what is none of these. */
export function chunksOf(input: ByteInput): AsyncIterable<Uint8Array> {
  if (input instanceof Uint8Array) return each([input])
  // A stream of Node or of Deno has both, and its own iterator does more than its reader.
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
    // Nothing to cancel where reading failed: then this rejects with the same error, which is on its way already.
    if (!ended) await reader.cancel().catch(() => {})
    reader.releaseLock()
  }
}
