/** Compares the streaming functions with those that work in one call. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode, frames, verify } from '../file.ts'
import { makeHeader, NO_CHECKSUM } from '../format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from '../format/types.ts'
import { arbitraryFile, databaseChecksum, header, pageOf } from '../testing.ts'
import { type ByteInput, chunksOf } from './byte-input.ts'
import { decodeStream } from './decode-stream.ts'
import { encodeStream, type PageInput } from './encode-stream.ts'

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return new Uint8Array(Buffer.concat(all))
}

function* pieces(bytes: Uint8Array, size: number): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
}

async function* later<T>(items: Iterable<T>): AsyncIterable<T> {
  for (const item of items) {
    await Promise.resolve()
    yield item
  }
}

/** A stream as in a browser that cannot iterate it. */
function readerOnly(stream: ReadableStream<Uint8Array>) {
  return { getReader: () => stream.getReader() }
}

const small = [1, 2, 3].map((pgno) => [pgno, pageOf(512, pgno)] as const)
const snapshot = header({ commit: 3, minTXID: toTXID(1), preApplyChecksum: 0n })
const file = encode(snapshot, small)

describe('decodeStream', () => {
  test('returns the same pages as decode, in pieces of any size', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryFile(), fc.integer({ min: 1, max: 3000 }), async (spec, size) => {
        const bytes = encode(spec.header, spec.pages, spec.postApply)
        const stream = decodeStream(later(pieces(bytes, size)))
        const pages: (readonly [number, Uint8Array])[] = []
        for await (const page of stream) pages.push(page)
        const whole = decode(bytes)
        expect(pages).toEqual([...whole.pages])
        expect(await stream.header()).toEqual(whole.header)
        expect(stream.trailer).toEqual(whole.trailer)
      }),
      { numRuns: 30 },
    )
  })

  test('returns the header before the first page, and reads no further', async () => {
    let read = 0
    const stream = decodeStream(
      (async function* () {
        for (const piece of pieces(file, 70)) {
          read += piece.length
          yield piece
        }
      })(),
    )
    expect(await stream.header()).toEqual(snapshot)
    expect(read).toBe(140)
    expect(() => stream.trailer).toThrow('not been read to its end')
    const pgnos: number[] = []
    for await (const [pgno] of stream) pgnos.push(pgno)
    expect(pgnos).toEqual([1, 2, 3])
  })

  test('rejects a file that is cut short anywhere', async () => {
    for (let cut = 0; cut < file.length; cut += 7) {
      const read = async () => {
        for await (const _ of decodeStream(pieces(file.subarray(0, cut), 50)));
      }
      await expect(read(), `${cut} bytes`).rejects.toMatchObject({
        code: 'LTX_INVALID',
        offset: expect.any(Number) as number,
      })
    }
  })

  test('closes its input when it is left, fails, or is closed', async () => {
    let open = 0
    async function* input(bytes: Uint8Array) {
      open++
      try {
        yield* pieces(bytes, 200)
      } finally {
        open--
      }
    }
    for await (const _ of decodeStream(input(file))) break
    expect(open).toBe(0)
    await expect(decodeStream(input(new Uint8Array(500))).header()).rejects.toThrow('not an LTX file')
    expect(open).toBe(0)
    const stream = decodeStream(input(file))
    await stream.header()
    expect(open).toBe(1)
    await stream.close()
    expect(open).toBe(0)
  })

  test('can be iterated once', async () => {
    const stream = decodeStream(file)
    for await (const _ of stream);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow('only once')
  })
})

describe('encodeStream', () => {
  const inputs: ((pages: Iterable<readonly [number, Uint8Array]>) => PageInput)[] = [(pages) => pages, later]

  test('writes the same bytes as encode, from synchronous and from asynchronous pages', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryFile(), fc.constantFrom(...inputs), async (spec, input) => {
        const stream = encodeStream(spec.header, input(spec.pages), { postApplyChecksum: spec.postApply })
        const bytes = await collect(stream)
        expect(bytes).toEqual(encode(spec.header, spec.pages, spec.postApply))
        expect(stream.result).toEqual({ trailer: decode(bytes).trailer, sizeBytes: bytes.length })
      }),
      { numRuns: 30 },
    )
  })

  test('accepts the pages of decodeStream', async () => {
    expect(await collect(encodeStream(snapshot, decodeStream(file)))).toEqual(file)
  })

  test('calls a checksum function after the last page', async () => {
    let checksum = EMPTY_CHECKSUM
    async function* pages() {
      for (const page of small) {
        checksum = databaseChecksum([page])
        yield page
      }
    }
    const stream = encodeStream(header({ commit: 3 }), pages(), { postApplyChecksum: () => checksum })
    expect(decode(await collect(stream)).trailer.postApplyChecksum).toBe(databaseChecksum([small[2]!]))
  })

  test('closes its pages when it is left, or a page is rejected', async () => {
    let open = 0
    async function* pages(pgnos: readonly number[]) {
      open++
      try {
        for (const pgno of pgnos) yield [pgno, crypto.getRandomValues(new Uint8Array(65536))] as const
      } finally {
        open--
      }
    }
    const h = header({ commit: 9, pageSize: 65536, flags: NO_CHECKSUM, preApplyChecksum: 0n })
    for await (const _ of encodeStream(h, pages([1, 2, 3]))) break
    expect(open).toBe(0)
    await expect(collect(encodeStream(h, pages([1, 1])))).rejects.toThrow('page 1 follows page 1')
    expect(open).toBe(0)
  })

  test('can be iterated once, and has its result at the end', async () => {
    const stream = encodeStream(snapshot, small)
    expect(() => stream.result).toThrow('not been written')
    await collect(stream)
    await expect(collect(stream)).rejects.toThrow('only once')
  })
})

describe('the post-apply checksum', () => {
  test('is computed for a snapshot, and required for other files', () => {
    expect(decode(file).trailer.postApplyChecksum).toBe(databaseChecksum(small))
    const unchecked = header({ commit: 3, flags: NO_CHECKSUM, preApplyChecksum: 0n })
    expect(decode(encode(unchecked, small)).trailer.postApplyChecksum).toBe(0n)
    expect(decode(encode(header({ commit: 0 }), [])).trailer.postApplyChecksum).toBe(EMPTY_CHECKSUM)
    expect(() => encode(header({ commit: 3 }), small)).toThrow('post-apply checksum: is missing')
  })

  test('of a snapshot is rejected if it does not match the pages', () => {
    const wrong = (databaseChecksum(small) ^ 1n) as Checksum
    expect(() => encode(snapshot, small, wrong)).toThrow("is not the checksum of the snapshot's pages")
    expect(encode(snapshot, small, databaseChecksum(small))).toEqual(file)
  })
})

describe('an input', () => {
  const kinds: [string, () => ByteInput][] = [
    ['bytes', () => file],
    ['chunks', () => [...pieces(file, 100)]],
    ['chunks that come', () => later(pieces(file, 100))],
    ['a Blob', () => new Blob([file])],
    ['a ReadableStream', () => new Blob([file]).stream()],
    ['a ReadableStream that cannot be iterated', () => readerOnly(new Blob([file]).stream())],
    ['the body of a Response', () => new Response(file).body!],
  ]
  test.each(kinds)('may be %s', async (_, input) => {
    expect(await collect(chunksOf(input()))).toEqual(file)
    expect((await verify(input())).pageCount).toBe(3)
    const pgnos: number[] = []
    for await (const frame of frames(input())) pgnos.push(frame.pgno)
    expect(pgnos).toEqual([1, 2, 3])
  })

  test('of another kind is rejected', () => {
    expect(() => chunksOf({} as never)).toThrow(TypeError)
  })

  test('that cannot be iterated is cancelled when it is left, but not after a read failed', async () => {
    let cancelled = 0
    const source = {
      pull: (c: ReadableStreamDefaultController<Uint8Array>) => c.enqueue(file),
      cancel: () => void cancelled++,
    }
    for await (const _ of chunksOf(readerOnly(new ReadableStream(source)))) break
    expect(cancelled).toBe(1)
    const failing = { pull: () => Promise.reject(new Error('the network is gone')), cancel: () => void cancelled++ }
    await expect(collect(chunksOf(readerOnly(new ReadableStream(failing))))).rejects.toThrow('the network is gone')
    expect(cancelled).toBe(1)
  })
})

test('makeHeader sets the defaults and validates the header', () => {
  const fields = { pageSize: 4096, commit: 3, minTXID: toTXID(1) }
  const before = Date.now()
  const made = makeHeader(fields)
  expect(made).toMatchObject({ ...fields, flags: 0, maxTXID: 1n, preApplyChecksum: 0n, walOffset: 0, nodeId: 0n })
  expect(made.timestampMs >= before && made.timestampMs <= Date.now()).toBe(true)
  expect(makeHeader({ ...fields, maxTXID: toTXID(7) }).maxTXID).toBe(7n)
  expect(() => makeHeader({ ...fields, minTXID: toTXID(2) })).toThrow('pre-apply checksum')
})
