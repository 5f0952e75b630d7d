/** Bounds on what a server answers beside the content of objects (I10). The SDK reads such answers whole. */

import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** A page of a listing has at most 1000 keys of 1024 bytes, each of which can become five in XML. */
const MAX_ANSWER_BYTES = 16 << 20

/** An answer with a body, as the SDK's handler of HTTP returns it. */
export interface Answer {
  readonly statusCode: number
  readonly headers?: Readonly<Record<string, string>>
  body?: unknown
}

/** Ends the connection when the body of an answer is longer than any can be, unless it is an object's content. */
export function boundAnswer(answer: Answer, isContent: boolean, maxBytes = MAX_ANSWER_BYTES): void {
  if (isContent && answer.statusCode < 300) return
  const body = answer.body as Readable | undefined
  if (typeof body?.pipe !== 'function') return
  let left = maxBytes
  const bounded = new Transform({
    transform(chunk: Uint8Array, _, done) {
      left -= chunk.length
      if (left >= 0) return done(null, chunk)
      done(new Error(`the answer has more than ${maxBytes >> 20} MiB`))
    },
  })
  // Whoever reads `bounded` gets the error.
  pipeline(body, bounded).catch(() => undefined)
  answer.body = bounded
}
