/**
 * A large object, of which several ranges are fetched at once: one connection is slower than the disk. Each reader goes
 * on by itself, and what is fetched ahead of readers has a bound for all of them together. So readers that wait for
 * each other, as the inputs of a merge do, never wait for room.
 */

import { type OpenAt, resuming } from './body.ts'

export const RANGE_BYTES = 8 * 1024 * 1024
/** How many ranges of one object are fetched ahead of its reader. */
const AHEAD = 4

/** How many ranges are fetched ahead at once. Each may take its length in memory. */
export class Room {
  #left: number

  constructor(ranges: number) {
    this.#left = ranges
  }

  take(): boolean {
    if (this.#left === 0) return false
    this.#left--
    return true
  }

  giveBack(): void {
    this.#left++
  }
}

export interface Source {
  /** Holds the bytes from `start` on. */
  readonly first: AsyncIterable<Uint8Array>
  readonly start: number
  /** Exclusive. */
  readonly end: number
  readonly openAt: OpenAt
  readonly signal: AbortSignal | undefined
  /** Makes the error of the last failure. */
  readonly failed: (cause: unknown) => Error
}

/** The bytes of the source. What is fetched ahead and fails is fetched again in its turn. */
export async function* fetchingAhead(
  { first, start, end, openAt, signal, failed }: Source,
  room: Room,
  rangeBytes = RANGE_BYTES,
): AsyncIterable<Uint8Array> {
  const ahead = new Map<number, RangeAhead>()
  const ended = new AbortController()
  const stop = () => ended.abort(signal?.reason)
  signal?.addEventListener('abort', stop, { once: true })
  const fill = (from: number) => {
    for (let at = from, n = 0; at < end && n < AHEAD; at += rangeBytes, n++) {
      if (ahead.has(at)) continue
      if (!room.take()) return
      ahead.set(at, new RangeAhead(openAt, at, Math.min(at + rangeBytes, end), ended.signal, room))
    }
  }
  try {
    for (let at = start; at < end; at += rangeBytes) {
      signal?.throwIfAborted()
      const rangeEnd = Math.min(at + rangeBytes, end)
      fill(at === start ? at + rangeBytes : at)
      const fetched = ahead.get(at)
      let offset = at
      if (fetched !== undefined) {
        fill(at + rangeBytes)
        for await (const chunk of fetched) {
          offset += chunk.length
          yield chunk
        }
        fetched.close()
        ahead.delete(at)
      }
      if (offset === rangeEnd) continue
      const rest = at === start ? cut(first, rangeEnd - at) : await openAt(offset, rangeEnd, signal)
      yield* resuming(rest, offset, rangeEnd, (from) => openAt(from, rangeEnd, signal), signal, failed)
    }
  } finally {
    signal?.removeEventListener('abort', stop)
    ended.abort()
    for (const range of ahead.values()) range.close()
  }
}

/** One range, which is fetched before anybody reads it. It ends early where it fails. */
class RangeAhead implements AsyncIterable<Uint8Array> {
  readonly #room: Room
  #chunks: Uint8Array[] = []
  #ended = false
  #closed = false
  #changed: () => void = () => undefined

  constructor(openAt: OpenAt, from: number, to: number, signal: AbortSignal, room: Room) {
    this.#room = room
    void this.#fetch(openAt, from, to, signal)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) yield chunk
      else if (this.#ended) return
      else await new Promise<void>((resolve) => (this.#changed = resolve))
    }
  }

  /** Its memory is free again. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#chunks = []
    this.#room.giveBack()
  }

  async #fetch(openAt: OpenAt, from: number, to: number, signal: AbortSignal): Promise<void> {
    try {
      let at = from
      for await (const chunk of await openAt(from, to, signal)) {
        if (this.#closed) return
        at += chunk.length
        // It is not the range: the reader asks for it again, and gets the error.
        if (at > to) return
        this.#chunks.push(chunk)
        this.#changed()
      }
    } catch {
      // The reader asks for the rest again, and gets the error.
    } finally {
      this.#ended = true
      this.#changed()
    }
  }
}

/** The first bytes of a stream, which ends there. */
async function* cut(stream: AsyncIterable<Uint8Array>, bytes: number): AsyncIterable<Uint8Array> {
  let left = bytes
  for await (const chunk of stream) {
    yield chunk.length > left ? chunk.subarray(0, left) : chunk
    left -= Math.min(left, chunk.length)
    if (left === 0) return
  }
}
