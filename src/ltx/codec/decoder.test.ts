/** Every rule of the format, broken one at a time in files that are right in everything else. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode } from '../file.ts'
import { LTXError } from '../format/errors.ts'
import type { FrameSink } from '../format/frame.ts'
import { type Header, HEADER_SIZE, marshalHeader, NO_CHECKSUM } from '../format/header.ts'
import { EMPTY_CHECKSUM, toTXID } from '../format/types.ts'
import { putUvarint } from '../format/varint.ts'
import { CRCRegister } from '../kernels/crc.ts'
import { compressBlock } from '../kernels/lz4-block.ts'
import { databaseChecksum, header, pageOf } from '../testing.ts'
import { Decoder } from './decoder.ts'
import { FrameBatch } from './frame-batch.ts'

interface Raw {
  header?: Header
  /** Applied to the bytes of the header. */
  patch?: (view: DataView) => void
  pages?: number[]
  pageFlags?: number
  /** Instead of the page's block. */
  block?: Uint8Array
  blockSize?: number
  index?: (entries: number[][]) => number[][]
  indexSize?: bigint
  postApply?: bigint
  fileChecksum?: bigint
  after?: number
}

/** A file made field by field. Its file checksum is right even if other fields are not. */
function build(raw: Raw): Uint8Array {
  const h = raw.header ?? header({ commit: 4 })
  const parts: Uint8Array[] = []
  const crc = new CRCRegister()
  const add = (bytes: Uint8Array, hashed = bytes) => {
    parts.push(bytes)
    crc.update(hashed)
  }
  const be = (value: bigint | number, size: number) =>
    Uint8Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * (size - 1 - i))) & 255n))

  const head = marshalHeader(h)
  raw.patch?.(new DataView(head.buffer))
  add(head)
  const entries: number[][] = []
  let offset = HEADER_SIZE
  for (const pgno of raw.pages ?? [1, 3]) {
    const page = pageOf(h.pageSize, pgno)
    const block = raw.block ?? compressBlock(page)
    const prefix = [be(pgno, 4), be(raw.pageFlags ?? 1, 2), be(raw.blockSize ?? block.length, 4)]
    prefix.forEach((part) => add(part))
    add(block, page)
    entries.push([pgno, offset, 10 + block.length])
    offset += 10 + block.length
  }
  add(new Uint8Array(6))
  const index = new Uint8Array(1000)
  let used = 0
  for (const value of (raw.index?.(entries) ?? entries).flat()) used = putUvarint(index, used, value)
  used = putUvarint(index, used, 0)
  add(index.subarray(0, used))
  add(be(raw.indexSize ?? used, 8))
  add(be(raw.postApply ?? EMPTY_CHECKSUM, 8))
  parts.push(be(raw.fileChecksum ?? crc.checksum(), 8), new Uint8Array(raw.after ?? 0))
  return new Uint8Array(Buffer.concat(parts))
}

const snapshot = (fields: Partial<Header> = {}) =>
  header({ minTXID: toTXID(1), maxTXID: toTXID(1), preApplyChecksum: 0n, commit: 3, ...fields })
const snapshotChecksum = databaseChecksum([1, 2, 3].map((n) => [n, pageOf(512, n)]))

test('valid files are accepted', () => {
  expect([...decode(build({})).pages.keys()]).toEqual([1, 3])
  expect(decode(build({ header: snapshot(), pages: [1, 2, 3], postApply: snapshotChecksum })).pages.size).toBe(3)
  expect(decode(build({ header: header({ commit: 0 }), pages: [] })).pages.size).toBe(0)
})

describe('a decoder rejects', () => {
  const secondFrame = 110 + compressBlock(pageOf(512, 1)).length
  const end = build({}).length
  const noChecksum = header({ flags: NO_CHECKSUM, preApplyChecksum: 0n, commit: 4 })

  test.each<[string, Raw, { field: string; offset?: number }]>([
    ['a wrong magic', { patch: (v) => v.setUint32(0, 0x4c545832) }, { field: 'magic', offset: 0 }],
    ['unknown header flags', { patch: (v) => v.setUint32(4, 1) }, { field: 'flags', offset: 4 }],
    ['a page size of no power of two', { patch: (v) => v.setUint32(8, 513) }, { field: 'page size', offset: 8 }],
    ['a page size too large', { patch: (v) => v.setUint32(8, 131072) }, { field: 'page size', offset: 8 }],
    ['a page size of zero', { patch: (v) => v.setUint32(8, 0) }, { field: 'page size', offset: 8 }],
    ['a TXID of zero', { patch: (v) => v.setBigUint64(16, 0n) }, { field: 'minimum TXID', offset: 16 }],
    ['TXIDs in the wrong order', { patch: (v) => v.setBigUint64(24, 1n) }, { field: 'maximum TXID', offset: 24 }],
    [
      'a missing pre-apply checksum',
      { patch: (v) => v.setBigUint64(40, 0n) },
      { field: 'pre-apply checksum', offset: 40 },
    ],
    ['one without bit 63', { patch: (v) => v.setBigUint64(40, 5n) }, { field: 'pre-apply checksum', offset: 40 }],
    [
      'one in a snapshot',
      { header: snapshot(), patch: (v) => v.setBigUint64(40, EMPTY_CHECKSUM) },
      { field: 'pre-apply checksum', offset: 40 },
    ],
    [
      'one without checksums',
      { patch: (v) => v.setUint32(4, NO_CHECKSUM) },
      { field: 'pre-apply checksum', offset: 40 },
    ],
    ['a negative WAL offset', { patch: (v) => v.setBigInt64(48, -1n) }, { field: 'WAL offset', offset: 48 }],
    ['a negative WAL size', { patch: (v) => v.setBigInt64(56, -1n) }, { field: 'WAL size', offset: 56 }],
    ['a WAL size without an offset', { patch: (v) => v.setBigInt64(56, 1n) }, { field: 'WAL offset', offset: 48 }],
    ['a WAL salt without an offset', { patch: (v) => v.setUint32(68, 1) }, { field: 'WAL offset', offset: 48 }],
    ['reserved bytes in use', { patch: (v) => v.setUint8(99, 1) }, { field: 'reserved bytes', offset: 99 }],
    [
      'a dropped database without checksums',
      { header: noChecksum, patch: (v) => v.setUint32(12, 0), pages: [], postApply: 0n },
      { field: 'commit', offset: 12 },
    ],
    ['page number zero', { pages: [0] }, { field: 'page number', offset: 100 }],
    ['a page twice', { pages: [1, 1] }, { field: 'page number', offset: secondFrame }],
    ['pages out of order', { pages: [3, 1] }, { field: 'page number' }],
    ['a page beyond the commit size', { pages: [5] }, { field: 'page number', offset: 100 }],
    [
      'the lock page',
      { header: header({ pageSize: 65536, commit: 20000 }), pages: [16385] },
      { field: 'page number', offset: 100 },
    ],
    ['unknown page flags', { pageFlags: 3 }, { field: 'page flags', offset: 104 }],
    ['a page of no size', { blockSize: 0 }, { field: 'page data size', offset: 106 }],
    ['a size beyond any page', { blockSize: 0xffffffff }, { field: 'page data size', offset: 106 }],
    ['a block that is too short', { block: compressBlock(new Uint8Array(511)) }, { field: 'page data', offset: 110 }],
    ['a block that is too long', { block: compressBlock(new Uint8Array(513)) }, { field: 'page data', offset: 110 }],
    ['a block that is none', { block: new Uint8Array(20) }, { field: 'page data', offset: 110 }],
    ['a snapshot that starts late', { header: snapshot(), pages: [2, 3] }, { field: 'page number', offset: 100 }],
    ['a snapshot with a hole', { header: snapshot(), pages: [1, 3] }, { field: 'page number', offset: secondFrame }],
    ['a snapshot that ends early', { header: snapshot(), pages: [1, 2] }, { field: 'page number' }],
    ['an index entry too few', { index: (e) => e.slice(1) }, { field: 'page index' }],
    ['the last index entry missing', { index: (e) => e.slice(0, 1) }, { field: 'page index' }],
    ['an index entry too many', { index: (e) => [...e, [4, end, 20]] }, { field: 'page index' }],
    ['another page in the index', { index: ([a, b]) => [a!, [4, b![1]!, b![2]!]] }, { field: 'page index' }],
    ['index entries out of order', { index: ([a, b]) => [b!, a!] }, { field: 'page index' }],
    ['an index entry twice', { index: ([a]) => [a!, a!] }, { field: 'page index' }],
    ['an index offset before the pages', { index: ([a, b]) => [[1, 99, a![2]! + 1], b!] }, { field: 'page index' }],
    ['overlapping index entries', { index: ([a, b]) => [a!, [3, b![1]! - 1, b![2]! + 1]] }, { field: 'page index' }],
    ['another size in the index', { index: ([a, b]) => [a!, [3, b![1]!, b![2]! + 1]] }, { field: 'page index' }],
    ['index values beyond 2^53', { index: ([, b]) => [[1, 2 ** 60, 20], b!] }, { field: 'page index' }],
    [
      'a page number beyond 2^32 in the index',
      { index: ([a, b]) => [a!, [3 + 2 ** 32, ...b!.slice(1)]] },
      { field: 'page index' },
    ],
    [
      'a size beyond 2^32 in the index',
      { index: ([a, b]) => [a!, [3, b![1]!, b![2]! + 2 ** 32]] },
      { field: 'page index' },
    ],
    ['an index size that is not the index', { indexSize: 3n }, { field: 'page index size', offset: end - 24 }],
    ['a missing post-apply checksum', { postApply: 0n }, { field: 'post-apply checksum', offset: end - 16 }],
    ['a post-apply checksum without bit 63', { postApply: 1n }, { field: 'post-apply checksum', offset: end - 16 }],
    ['one without checksums', { header: noChecksum }, { field: 'post-apply checksum', offset: end - 16 }],
    [
      'one of a dropped database that is not that of no pages',
      { header: header({ commit: 0 }), pages: [], postApply: EMPTY_CHECKSUM + 1n },
      { field: 'post-apply checksum' },
    ],
    [
      'one of a snapshot that its pages do not have',
      { header: snapshot(), pages: [1, 2, 3], postApply: snapshotChecksum ^ 1n },
      { field: 'post-apply checksum' },
    ],
    ['a wrong file checksum', { fileChecksum: EMPTY_CHECKSUM }, { field: 'file checksum', offset: end - 8 }],
    ['a file checksum without bit 63', { fileChecksum: 7n }, { field: 'file checksum', offset: end - 8 }],
    ['a byte after the trailer', { after: 1 }, { field: 'trailer', offset: end }],
  ])('%s', (_, raw, place) => {
    const bytes = build(raw)
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ name: 'LTXError', code: 'LTX_INVALID', ...place }))
    // Where the chunks end does not matter.
    const decoder = new Decoder()
    const byByte = () => {
      for (const byte of bytes) {
        decoder.push(Uint8Array.of(byte))
        while (decoder.next() !== undefined);
      }
      decoder.end()
    }
    expect(byByte).toThrow(expect.objectContaining(place))
    expect(() => decoder.end()).toThrow(expect.objectContaining(place))
  })
})

test('for any bytes, a decoder ends with an LTXError or a valid file', () => {
  const good = [build({}), build({ header: snapshot(), pages: [1, 2, 3], postApply: snapshotChecksum })]
  fc.assert(
    fc.property(
      fc.constantFrom(...good),
      fc.array(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.nat({ max: 8 })), { maxLength: 5 }),
      fc.integer({ min: 1, max: 300 }),
      (file, splices, chunkBytes) => {
        const bytes = [...file]
        for (const [at, inserted, removed] of splices) bytes.splice(at % bytes.length, removed, ...inserted)
        const decoder = new Decoder()
        try {
          for (let at = 0; at < bytes.length; at += chunkBytes) {
            decoder.push(Uint8Array.from(bytes.slice(at, at + chunkBytes)))
            for (let frame = decoder.next(); frame; frame = decoder.next()) expect(frame.page()).toHaveLength(512)
          }
          decoder.end()
        } catch (error) {
          expect(error).toMatchObject({ code: 'LTX_INVALID' })
        }
      },
    ),
    { numRuns: 1500 },
  )
})

test('for any bytes in any chunks, batches have the same frames and the same errors as single frames', () => {
  const lz4Frame = (page: Uint8Array) =>
    Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 2, 0, 0x80, ...page, 0, 0, 0, 0)
  const good = [
    build({}),
    build({ header: snapshot(), pages: [1, 2, 3], postApply: snapshotChecksum }),
    build({ header: header({ commit: 600 }), pages: Array.from({ length: 600 }, (_, index) => index + 1) }),
    build({ pageFlags: 0, block: lz4Frame(new Uint8Array(512)) }),
  ]
  /** What is copied out of it, and at last what went wrong. */
  const look = (file: Uint8Array, chunkBytes: number, inBatches: boolean) => {
    const decoder = new Decoder()
    const batch = new FrameBatch()
    const seen: unknown[] = []
    const sink: FrameSink = {
      copyDigested: (pgno, frame, low, high) => seen.push([pgno, Buffer.from(frame).toString('hex'), low, high]),
      writePage: (pgno, page) => seen.push([pgno, Buffer.from(page).toString('hex')]),
    }
    const takeBatches = () => {
      while (inBatches && decoder.nextBatch(batch)) while (batch.next()) batch.copyTo(sink)
    }
    try {
      let chunk = new Uint8Array(0)
      for (let at = 0; at < file.length; at += chunkBytes) {
        const cut = inBatches ? decoder.cutBytes : 0
        if (cut > 0 && cut < chunk.length) {
          chunk = file.slice(at - cut, at + chunkBytes)
          decoder.pushAgain(chunk)
        } else {
          for (let frame = decoder.nextFrame(); frame !== undefined; frame = decoder.nextFrame()) frame.copyTo(sink)
          chunk = file.slice(at, at + chunkBytes)
          decoder.push(chunk)
        }
        takeBatches()
      }
      for (let frame = decoder.nextFrame(); frame !== undefined; frame = decoder.nextFrame()) {
        frame.copyTo(sink)
        takeBatches()
      }
      seen.push(decoder.end(), decoder.pageCount, decoder.sizeBytes)
    } catch (error) {
      expect(error).toBeInstanceOf(LTXError)
      seen.push((error as LTXError).message)
    }
    return seen
  }
  fc.assert(
    fc.property(
      fc.constantFrom(...good),
      fc.array(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.nat({ max: 8 })), { maxLength: 3 }),
      fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.constant(1_000_000)),
      (file, splices, chunkBytes) => {
        const bytes = [...file]
        for (const [at, inserted, removed] of splices) bytes.splice(at % bytes.length, removed, ...inserted)
        const changed = Uint8Array.from(bytes)
        expect(look(changed, chunkBytes, true)).toEqual(look(changed, chunkBytes, false))
      },
    ),
    { numRuns: 1000 },
  )
})

test('a page stays readable while other decoders run', () => {
  const one = new Decoder()
  one.push(build({}))
  const frame = one.next()!
  decode(build({ pages: [2, 4] }))
  expect(frame.page()).toEqual(pageOf(512, 1))
  expect(frame.encoding).toBe('block')
})

test('a push before the last chunk is consumed throws', () => {
  const decoder = new Decoder()
  decoder.push(build({}))
  expect(() => decoder.push(new Uint8Array(1))).toThrow('call next() until it returns undefined')
})
