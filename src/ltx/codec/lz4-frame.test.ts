import fc from 'fast-check'
import { compressFrameSync } from 'lz4-napi'
import { describe, expect, test } from 'vitest'
import { xxh32 } from '../format/xxhash.ts'
import { compressBlock } from '../kernels/lz4-block.ts'
import { stagedPage } from '../kernels/staging.ts'
import { arbitraryPage, PAGE_SIZES, pageOf } from '../testing.ts'
import { decompressFrame, frameExtent, maxFrameSize, type Window } from './lz4-frame.ts'

test('xxh32 equals the values of its specification', () => {
  const text = (value: string) => xxh32(new TextEncoder().encode(value))
  expect(text('')).toBe(0x02cc5d05)
  expect(text('abc')).toBe(0x32d153ff)
  expect(text('Nobody inspects the spammish repetition')).toBe(0xe2293b2f)
})

/** Reads a frame that starts inside a file, with a window of exactly the bytes it requests each time. */
function read(frame: Uint8Array, pageSize: number): Uint8Array {
  const bytes = new Uint8Array([1, 2, 3, ...frame])
  const window = (have: number): Window => ({ bytes, start: 3, have, offset: 1000 })
  for (let have = 0; ;) {
    const extent = frameExtent(window(have), pageSize)
    if (extent > frame.length) throw new RangeError(`asked for ${extent} bytes of ${frame.length}`)
    if (extent === have) {
      decompressFrame(window(have), pageSize)
      expect(have).toBe(frame.length)
      return stagedPage(pageSize).slice()
    }
    have = extent
  }
}

describe('an LZ4 frame', () => {
  test('of another implementation is decompressed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PAGE_SIZES).chain((size) => arbitraryPage(size)),
        fc.boolean(),
        (page, blockChecksums) => {
          const frame = compressFrameSync(Buffer.from(page), { contentChecksum: true, blockChecksums })
          expect(Buffer.compare(read(frame, page.length), page)).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })

  const page = pageOf(512, 5)
  const [head, tail] = [page.slice(0, 200), page.slice(200)]

  test.each<[string, Part[], Partial<FrameFields>]>([
    ['in one block', [compressed(page)], {}],
    ['in two blocks', [compressed(head), compressed(tail)], {}],
    ['in blocks as they are', [raw(head), raw(tail)], {}],
    ['with all checksums and its size', [compressed(page)], { blockChecksums: true, contentSize: 512n }],
    ['with a content size that nobody looks at', [compressed(page)], { contentSize: 511n }],
    ['with blocks of up to 4 MiB', [compressed(page)], { blockSizes: 0x70 }],
  ])('%s is decompressed', (_, parts, fields) => {
    expect(read(frameOf(page, parts, fields), 512)).toEqual(page)
  })

  test('with a block that refers to the one before is decompressed, unless the frame declares its blocks independent', () => {
    const zeroes = new Uint8Array(512)
    // One literal, a match of 206, five literals; then a match of 295 at once, five literals.
    const first = Uint8Array.of(0x1f, 0, 1, 0, 187, 0x50, 0, 0, 0, 0, 0)
    const second = Uint8Array.of(0x0f, 1, 0, 255, 21, 0x50, 0, 0, 0, 0, 0)
    const parts = [first, second].map((data) => ({ data, compressed: true }))
    expect(read(frameOf(zeroes, parts, { independent: false }), 512)).toEqual(zeroes)
    expect(() => read(frameOf(zeroes, parts, { independent: true }), 512)).toThrow('block is not valid')
  })

  test.each<[string, Uint8Array, string]>([
    ['a wrong magic', frameOf(page, [compressed(page)], { magic: 1 }), 'does not start'],
    ['another version', frameOf(page, [compressed(page)], { version: 0x80 }), 'not supported'],
    ['a dictionary', frameOf(page, [compressed(page)], { version: 0x41 }), 'not supported'],
    ['an empty block as it is', frameOf(page, [raw(page.slice(0, 0)), compressed(page)]), 'is empty'],
    ['an empty compressed block', frameOf(page, [compressed(page.slice(0, 0)), compressed(page)]), 'is empty'],
    ['too little in it', frameOf(head, [compressed(head)]), 'decompresses to 200 bytes'],
    ['too much in it', frameOf(page, [compressed(head), raw(page)]), 'holds more than a page'],
    ['no content checksum', frameOf(page, [compressed(page)], { contentChecksum: false }), 'no content checksum'],
    ['unknown block sizes', frameOf(page, [compressed(page)], { blockSizes: 0x30 }), 'block size class 3'],
    ['a block behind the page', frameOf(page, [compressed(page), compressed(page.slice(0, 0))]), 'the page is full'],
    ['a wrong content checksum', frameOf(head, [compressed(page)]), 'content checksum'],
    ['very many blocks', frameOf(page, Array<Part>(65).fill(raw(new Uint8Array(1)))), 'more than 64 blocks'],
    ['a block too large for a page', frameOf(page, [raw(new Uint8Array(600))]), 'too large for a page'],
    ['blocks too many for a page', frameOf(page, Array<Part>(9).fill(raw(page))), 'longer than any frame'],
  ])('with %s is rejected', (_, frame, message) => {
    expect(() => read(frame, 512)).toThrow(message)
  })

  test('with a block larger than its block size class is rejected', () => {
    const noise = Uint8Array.from({ length: 65536 }, (_, at) => Math.imul(at, 0x9e3779b1) >>> 24)
    // 65536 literals, whose length takes 258 bytes.
    const block = Buffer.concat([Uint8Array.of(0xf0), Buffer.alloc(256, 255), Uint8Array.of(241), noise])
    const parts = [{ data: new Uint8Array(block), compressed: true }]
    expect(read(frameOf(noise, parts, { blockSizes: 0x50 }), 65536)).toEqual(noise)
    expect(() => read(frameOf(noise, parts, { blockSizes: 0x40 }), 65536)).toThrow('block size 65794 is too large')
  })

  test('with any changed bit is rejected', () => {
    const frame = frameOf(page, [compressed(head), raw(tail)], { blockChecksums: true, contentSize: 512n })
    for (let at = 0; at < frame.length; at++) {
      for (const bit of [1, 2, 4, 8, 16, 32, 64, 128]) {
        const broken = frame.slice()
        broken[at]! ^= bit
        expect(() => read(broken, 512), `byte ${at} of ${frame.length}, bit ${bit}`).toThrow()
      }
    }
  })

  test('never requests more bytes than its bound', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (noise) => {
        const bytes = new Uint8Array([...frameOf(page, []).subarray(0, 7), ...noise])
        for (let have = 0; have <= bytes.length;) {
          let extent
          try {
            extent = frameExtent({ bytes, start: 0, have, offset: 0 }, 512)
          } catch (error) {
            expect(error).toMatchObject({ code: 'LTX_INVALID', field: 'LZ4 frame' })
            return
          }
          expect(extent).toBeLessThanOrEqual(maxFrameSize(512))
          if (extent <= have) return
          have = extent
        }
      }),
    )
  })
})

interface Part {
  readonly data: Uint8Array
  readonly compressed: boolean
}

interface FrameFields {
  magic: number
  version: number
  independent: boolean
  blockChecksums: boolean
  contentChecksum: boolean
  contentSize: bigint
  blockSizes: number
}

function compressed(page: Uint8Array): Part {
  return { data: compressBlock(page), compressed: true }
}

function raw(page: Uint8Array): Part {
  return { data: page, compressed: false }
}

/** A frame around blocks, after the specification. */
function frameOf(content: Uint8Array, parts: readonly Part[], fields: Partial<FrameFields> = {}): Uint8Array {
  const { magic = 0x184d2204, version = 0x40, independent = true } = fields
  const { blockChecksums = false, contentChecksum = true, contentSize, blockSizes = 0x40 } = fields
  const le = (value: bigint | number, size: number) =>
    Uint8Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n))
  const flags =
    version |
    (independent ? 0x20 : 0) |
    (blockChecksums ? 0x10 : 0) |
    (contentSize === undefined ? 0 : 0x08) |
    (contentChecksum ? 0x04 : 0)
  const descriptor = Buffer.concat([
    Uint8Array.of(flags, blockSizes),
    contentSize === undefined ? le(0, 0) : le(contentSize, 8),
  ])
  const chunks: Uint8Array[] = [le(magic, 4), descriptor, Uint8Array.of((xxh32(descriptor) >>> 8) & 255)]
  for (const { data, compressed } of parts) {
    chunks.push(le(data.length + (compressed ? 0 : 0x80000000), 4), data)
    if (blockChecksums) chunks.push(le(xxh32(data), 4))
  }
  chunks.push(le(0, 4))
  if (contentChecksum) chunks.push(le(xxh32(content), 4))
  return new Uint8Array(Buffer.concat(chunks))
}
