import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { INDEX_TAIL_SIZE } from '../codec/page-index.ts'
import { decode, encode } from '../file.ts'
import { HEADER_SIZE } from '../format/header.ts'
import { EMPTY_CHECKSUM } from '../format/types.ts'
import { arbitraryFile, header, pageOf } from '../testing.ts'
import { blobRanges, type ByteRanges, fileRanges } from './byte-ranges.ts'
import { fetchRanges } from './fetch-ranges.ts'
import { PageReader } from './page-reader.ts'

/** Counts what is read, and how. */
function counted(bytes: Uint8Array): ByteRanges & { readonly reads: [number, number][] } {
  const reads: [number, number][] = []
  const read = async (offset: number, length: number) => {
    if (offset < 0 || length < 1 || offset + length > bytes.length) throw new RangeError(`${offset}+${length}`)
    reads.push([offset, length])
    return bytes.slice(offset, offset + length)
  }
  return { sizeBytes: bytes.length, reads, read }
}

/** Transaction 2 of a database, with `count` pages. */
function fileOf(count: number): Uint8Array {
  const pages = Array.from({ length: count }, (_, index) => [index + 1, pageOf(512, index)] as const)
  return encode(header({ commit: count }), pages, EMPTY_CHECKSUM)
}

const small = fileOf(10)
/** Its index has more than 64 KiB. */
const large = fileOf(12_000)

describe('a page reader', () => {
  test('reads the same pages as decode', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryFile(), async (spec) => {
        const bytes = encode(spec.header, spec.pages, spec.postApply)
        const reader = await PageReader.open(counted(bytes))
        const whole = decode(bytes)
        expect(reader.header).toEqual(whole.header)
        expect(reader.trailer).toEqual(whole.trailer)
        expect([...reader.index].map(({ pgno }) => pgno)).toEqual([...whole.pages.keys()])
        for (let pgno = 0; pgno <= 13; pgno++) expect(await reader.page(pgno)).toEqual(whole.pages.get(pgno))
      }),
      { numRuns: 30 },
    )
  })

  test('opens a small file with one read, any other with two or three, and reads a page with one more', async () => {
    for (const [bytes, reads] of [
      [small, 1],
      [fileOf(1000), 2],
      [large, 3],
    ] as const) {
      const source = counted(bytes)
      const reader = await PageReader.open(source)
      expect(source.reads).toHaveLength(reads)
      expect(await reader.page(7)).toEqual(pageOf(512, 6))
      expect(source.reads.slice(reads)).toEqual([[reader.index.find(7)!.offset, reader.index.find(7)!.sizeBytes]])
      expect(await reader.page(20_000)).toBeUndefined()
      expect(source.reads).toHaveLength(reads + 1)
    }
  })

  test('returns a separate copy to each concurrent read', async () => {
    const reader = await PageReader.open(counted(large))
    const pgnos = [1, 9000, 2, 11_999, 3, 3]
    const pages = await Promise.all(pgnos.map((pgno) => reader.page(pgno)))
    expect(pages).toEqual(pgnos.map((pgno) => pageOf(512, pgno - 1)))
  })

  test('allocates no memory for an index of an impossible size', async () => {
    // Ten pages in a file of 1 GiB, all the rest of which is to be index.
    const sizeBytes = 1 << 30
    const source: ByteRanges = {
      sizeBytes,
      read: async (offset, length) => {
        if (length > 64 * 1024) throw new Error(`${length} bytes were requested`)
        const bytes = new Uint8Array(length)
        if (offset === 0) bytes.set(small.subarray(0, HEADER_SIZE))
        if (offset + length === sizeBytes) {
          bytes.set(small.subarray(-16), length - 16)
          new DataView(bytes.buffer).setBigUint64(length - INDEX_TAIL_SIZE, BigInt(sizeBytes - 1000))
        }
        return bytes
      },
    }
    await expect(PageReader.open(source)).rejects.toMatchObject({ field: 'page index size', code: 'LTX_INVALID' })
  })

  test('rejects a file that is cut short anywhere', async () => {
    for (let cut = 0; cut < small.length; cut++) {
      const opened = PageReader.open(counted(small.subarray(0, cut)))
      await expect(opened, `${cut} bytes`).rejects.toMatchObject({ code: 'LTX_INVALID' })
    }
  })

  test('rejects a page that does not match the index', async () => {
    const broken = small.slice()
    broken[103]! ^= 1
    const reader = await PageReader.open(counted(broken))
    await expect(reader.page(1)).rejects.toMatchObject({ field: 'frame', offset: HEADER_SIZE })
    expect(await reader.page(2)).toEqual(pageOf(512, 1))
  })

  test('rejects a source that returns fewer bytes than requested', async () => {
    const source = { sizeBytes: small.length, read: async () => new Uint8Array(50) }
    await expect(PageReader.open(source)).rejects.toThrow('50 bytes were read')
  })
})

describe('ranges', () => {
  test('of a Blob', async () => {
    const reader = await PageReader.open(blobRanges(new Blob([large])))
    expect(await reader.page(11_000)).toEqual(pageOf(512, 10_999))
  })

  test('of an open file throw when it gets shorter', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'ltxd-ranges-'))
    const path = join(dir, 'large.ltx')
    await writeFile(path, large)
    const handle = await open(path)
    try {
      const reader = await PageReader.open(await fileRanges(handle))
      expect(await reader.page(11_000)).toEqual(pageOf(512, 10_999))
      await truncate(path, 1000)
      await expect(reader.page(11_000)).rejects.toMatchObject({ code: 'LTX_RANGE_READ' })
    } finally {
      await handle.close()
      await rm(dir, { recursive: true })
    }
  })
})

describe('ranges by HTTP', () => {
  type Answer = (request: IncomingMessage, response: ServerResponse, start: number, end: number) => void
  let body: Uint8Array = large
  let answer: Answer
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.headers.range)
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    answer(request, response, Number(start), Math.min(Number(end) + 1, body.length))
  })
  let url: string
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/large.ltx`
  })
  afterAll(() => void server.close())

  const partial: Answer = (_, response, start, end) => {
    if (start >= body.length) {
      response.writeHead(416, { 'Content-Range': `bytes */${body.length}` }).end()
      return
    }
    const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${body.length}`, ETag: '"one"' }
    response.writeHead(206, headers).end(body.subarray(start, end))
  }
  const use = (bytes: Uint8Array, how: Answer) => {
    asked.length = 0
    body = bytes
    answer = how
  }

  test('open a small file with one request and any other with one more or two', async () => {
    for (const [bytes, requests] of [
      [small, 1],
      [fileOf(1000), 2],
      [large, 3],
    ] as const) {
      use(bytes, partial)
      const reader = await PageReader.open(await fetchRanges(url))
      expect(asked).toHaveLength(requests)
      expect(await reader.page(10)).toEqual(pageOf(512, 9))
      expect(asked).toHaveLength(requests)
    }
    const reader = await PageReader.open(await fetchRanges(new URL(url)))
    const { offset, sizeBytes } = reader.index.find(11_000)!
    expect(await reader.page(11_000)).toEqual(pageOf(512, 10_999))
    expect(asked.at(-1)).toBe(`bytes=${offset}-${offset + sizeBytes - 1}`)
  })

  test('send the given headers through the given fetch', async () => {
    use(large, (request, response, start, end) => {
      if (request.headers.authorization === 'Bearer x') partial(request, response, start, end)
      else response.writeHead(403).end('no')
    })
    await expect(fetchRanges(url)).rejects.toThrow('status 403')
    let calls = 0
    const options = {
      headers: { Authorization: 'Bearer x' },
      fetch: (address: string, init: { headers: Record<string, string> }) => (calls++, fetch(address, init)),
    }
    await PageReader.open(await fetchRanges(url, options))
    expect(calls).toBe(3)
  })

  test.each<[string, Answer]>([
    ['the server sent the whole file', (_, response) => response.writeHead(200).end(large)],
    ['status 404', (_, response) => response.writeHead(404).end()],
    ['without Content-Range', (_, response) => response.writeHead(206).end(large.subarray(0, 100))],
    [
      'Content-Range "bytes 0-99/*"',
      (_, response) => response.writeHead(206, { 'Content-Range': 'bytes 0-99/*' }).end(large.subarray(0, 100)),
    ],
    [
      'the response has 100 of the 16384',
      (_, response, start, end) =>
        response
          .writeHead(206, { 'Content-Range': `bytes ${start}-${end - 1}/${large.length}` })
          .end(large.subarray(0, 100)),
    ],
    [
      'more than the 16384 bytes',
      (_, response, start, end) =>
        response.writeHead(206, { 'Content-Range': `bytes ${start}-${end - 1}/${large.length}` }).end(large),
    ],
  ])('are rejected: %s', async (problem, how) => {
    use(large, how)
    await expect(fetchRanges(url)).rejects.toThrow(problem)
    await expect(fetchRanges(url)).rejects.toMatchObject({ code: 'LTX_RANGE_READ' })
  })

  test('throw when the file was replaced, or the response has another range', async () => {
    use(large, partial)
    const reader = await PageReader.open(await fetchRanges(url))
    use(fileOf(12_001), partial)
    await expect(reader.page(11_000)).rejects.toThrow('replaced by another')
    use(large, (_, response, start, end) => {
      const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${large.length}`, ETag: '"two"' }
      response.writeHead(206, headers).end(large.subarray(start, end))
    })
    await expect(reader.page(11_000)).rejects.toThrow('replaced by another')
    use(large, (request, response, start, end) => partial(request, response, start + 1, end + 1))
    await expect(reader.page(11_000)).rejects.toThrow(': expected byte')
  })

  test('of an empty file are not an LTX file', async () => {
    use(new Uint8Array(0), partial)
    await expect(PageReader.open(await fetchRanges(url))).rejects.toMatchObject({
      code: 'LTX_INVALID',
      field: 'header',
    })
  })
})
