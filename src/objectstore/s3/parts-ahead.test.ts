import { describe, expect, it } from 'vitest'
import type { OpenAt } from './body.ts'
import { fetchingAhead, Room } from './parts-ahead.ts'

const RANGE = 1000
const object = Uint8Array.from({ length: 12_345 }, (_, i) => (i * 7) % 251)
const failed = (cause: unknown) => new Error('broke for good', { cause })

async function* pieces(from: number, to: number): AsyncIterable<Uint8Array> {
  for (let at = from; at < to; at += 90) {
    await new Promise(setImmediate)
    yield object.slice(at, Math.min(at + 90, to))
  }
}

/** A store that counts the requests under way. `answer` stands for the store's at a request. */
function served(
  answer: (request: number, from: number, to: number) => AsyncIterable<Uint8Array> | Error = () => new Error(),
) {
  const seen = { requests: 0, open: 0, most: 0 }
  const openAt: OpenAt = async (from, to) => {
    const request = ++seen.requests
    seen.most = Math.max(seen.most, ++seen.open)
    await new Promise(setImmediate)
    const stream = answer(request, from, to)
    if (stream instanceof Error) {
      seen.open--
      throw stream
    }
    return (async function* () {
      try {
        yield* stream
      } finally {
        seen.open--
      }
    })()
  }
  const source = (signal?: AbortSignal) => {
    return { first: pieces(0, object.length), start: 0, end: object.length, openAt, signal, failed }
  }
  return { seen, source }
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a large object', () => {
  it('is fetched by several ranges at once, and comes in order', async () => {
    const { seen, source } = served((_, from, to) => pieces(from, to))
    const room = new Room(6)
    expect((await read(fetchingAhead(source(), room, RANGE))).equals(object)).toBe(true)
    expect(seen).toEqual({ requests: 12, open: 0, most: 5 })
    for (let i = 0; i < 6; i++) expect(room.take()).toBe(true)
    expect(room.take()).toBe(false)
  })

  it('is whole although ranges fail, end early, or are too long', async () => {
    const asked = new Set<number>()
    const { source } = served((_, from, to) => {
      if (asked.has(from) || from % RANGE !== 0) return pieces(from, to)
      asked.add(from)
      const kind = (from / RANGE) % 4
      if (kind === 0) return new Error('away')
      if (kind === 1) return pieces(from, Math.min(from + 300, to))
      return pieces(from, kind === 2 ? to : Math.min(to + 90, object.length))
    })
    expect((await read(fetchingAhead(source(), new Room(6), RANGE))).equals(object)).toBe(true)
  })

  it('fails with the error of the store where a range cannot be had', async () => {
    const { seen, source } = served((_, from, to) => (from >= 5000 ? new Error('it was replaced') : pieces(from, to)))
    const room = new Room(6)
    await expect(read(fetchingAhead(source(), room, RANGE))).rejects.toThrow('it was replaced')
    for (let i = 0; i < 6; i++) expect(room.take()).toBe(true)
    expect(seen.open).toBe(0)
  })

  it('waits for no other that nobody reads, and takes no more than its room', async () => {
    const { seen, source } = served((_, from, to) => pieces(from, to))
    const room = new Room(3)
    const others = [1, 2, 3].map(() => fetchingAhead(source(), room, RANGE)[Symbol.asyncIterator]())
    for (const other of others) await other.next()
    expect((await read(fetchingAhead(source(), room, RANGE))).equals(object)).toBe(true)
    // Three ahead of the first of them, and what the reader itself asks for.
    expect(seen.most).toBeLessThanOrEqual(4)
    for (const other of others) await other.return?.()
    for (let i = 0; i < 3; i++) expect(room.take()).toBe(true)
  })

  it('ends with the signal', async () => {
    const { source } = served((_, from, to) => pieces(from, to))
    const stop = new AbortController()
    const stream = fetchingAhead(source(stop.signal), new Room(6), RANGE)
    let bytes = 0
    const reading = (async () => {
      for await (const chunk of stream) {
        bytes += chunk.length
        if (bytes > 2500) stop.abort(new Error('enough'))
      }
    })()
    await expect(reading).rejects.toThrow('enough')
    expect(bytes).toBeLessThan(5000)
  })
})
