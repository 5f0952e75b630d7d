/**
 * An object as a stream that survives its connection. A merge reads many objects side by side, some of them very
 * slowly, and servers cut idle connections: the missing rest is then requested again.
 */

/** Opens a stream from one byte of the object to another, exclusive. */
export type OpenAt = (
  offset: number,
  end: number,
  signal: AbortSignal | undefined,
) => Promise<AsyncIterable<Uint8Array>>

/** How many failures in a row are tolerated without a byte in between. */
const MAX_FAILURES = 3

/** `first` holds the bytes from `start` up to `end`, exclusive. `failed` makes the error of the last failure. */
export async function* resuming(
  first: AsyncIterable<Uint8Array>,
  start: number,
  end: number,
  openAt: OpenAt,
  signal: AbortSignal | undefined,
  failed: (cause: unknown) => Error,
): AsyncIterable<Uint8Array> {
  let stream = first
  let at = start
  let failures = 0
  for (;;) {
    const broken = yield* tracked(stream)
    if (at === end) return
    signal?.throwIfAborted()
    if (++failures > MAX_FAILURES) throw failed(broken)
    stream = await openAt(at, end, signal)
  }

  /** Passes a stream on, and returns the error that ended it early. */
  async function* tracked(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, unknown> {
    const chunks = source[Symbol.asyncIterator]()
    let finished = false
    try {
      for (;;) {
        let next: IteratorResult<Uint8Array, unknown>
        try {
          next = await chunks.next()
        } catch (error) {
          finished = true
          return error
        }
        if (next.done === true) {
          finished = true
          return new Error(`it ended after ${at - start} of ${end - start} bytes`)
        }
        signal?.throwIfAborted()
        at += next.value.length
        if (at > end) throw failed(new Error(`the store sent more than the announced ${end - start} bytes`))
        if (next.value.length > 0) failures = 0
        yield next.value
      }
    } finally {
      if (!finished) await chunks.return?.()
    }
  }
}
