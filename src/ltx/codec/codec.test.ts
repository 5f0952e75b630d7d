import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../file.ts'
import { foldChecksum, pageChecksum } from '../format/checksum.ts'
import { type Header, NO_CHECKSUM } from '../format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, formatChecksum, lockPgno, toTXID } from '../format/types.ts'
import { arbitraryFile, header, pageOf } from '../testing.ts'
import { Decoder } from './decoder.ts'
import { Encoder } from './encoder.ts'

const pagesOf = (...pgnos: number[]) => pgnos.map((pgno) => [pgno, pageOf(512, pgno)] as const)

test('checksums equal those of the reference', () => {
  expect(formatChecksum(pageChecksum(1, new Uint8Array(512).fill(0x31)))).toBe('eb1a999231044ddd')
  const database = [1, 2, 3].reduce(
    (rolling, n) => foldChecksum(rolling, pageChecksum(n, new Uint8Array(512).fill(n))),
    EMPTY_CHECKSUM,
  )
  expect(formatChecksum(database)).toBe('efffffffecd99000')
})

describe('a file', () => {
  test('is decoded to the encoded pages, in chunks of any size', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(arbitraryFile(), fc.integer({ min: 1, max: 4096 }), ({ header, pages, postApply }, chunkBytes) => {
        const bytes = encode(header, pages, postApply)
        const whole = decode(bytes)
        expect(whole.header).toEqual(header)
        expect(whole.trailer.postApplyChecksum).toBe(postApply)
        expect([...whole.pages]).toEqual([...pages])

        const decoder = new Decoder()
        const read: [number, Uint8Array][] = []
        for (let at = 0; at < bytes.length; at += chunkBytes) {
          decoder.push(bytes.slice(at, at + chunkBytes))
          for (let frame = decoder.next(); frame; frame = decoder.next()) read.push([frame.pgno, frame.page().slice()])
        }
        expect(decoder.end()).toEqual(whole.trailer)
        expect(read).toEqual([...pages])
        expect(decoder.sizeBytes).toBe(bytes.length)
      }),
      { numRuns: 60 },
    )
  })

  test('is rejected when it is cut short anywhere', () => {
    const bytes = encode(header({ commit: 3 }), pagesOf(1, 2, 3), EMPTY_CHECKSUM)
    for (let size = 0; size < bytes.length; size++) {
      expect(() => decode(bytes.subarray(0, size)), `${size} bytes`).toThrow(
        expect.objectContaining({ code: 'LTX_INVALID' }),
      )
    }
  })

  test('with a changed bit is rejected, unless it decompresses to the same bytes', () => {
    // Checksums cover the data, not its LZ4 form: a match may point to another copy of the same bytes.
    const bytes = encode(header({ commit: 3 }), pagesOf(1, 3), EMPTY_CHECKSUM)
    const intact = decode(bytes)
    let rejected = 0
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 16, 128]) {
        const broken = bytes.slice()
        broken[at]! ^= bit
        try {
          expect(decode(broken), `byte ${at}`).toEqual(intact)
        } catch (error) {
          expect(error).toMatchObject({ code: 'LTX_INVALID' })
          rejected++
        }
      }
    }
    expect(rejected).toBeGreaterThan(2.9 * bytes.length)
  })
})

describe('the encoder', () => {
  const page = new Uint8Array(512)
  const write = (h: Header, pgnos: number[], postApply: Checksum | 0n = EMPTY_CHECKSUM) =>
    encode(
      h,
      pgnos.map((pgno) => [pgno, page] as const),
      postApply,
    )

  test('rejects pages out of order, beyond the commit size, and the lock page', () => {
    expect(() => write(header({ commit: 5 }), [2, 2])).toThrow('page 2 follows page 2')
    expect(() => write(header({ commit: 5 }), [6])).toThrow('beyond the commit size')
    const lock = lockPgno(512)
    expect(() => write(header({ commit: lock + 1 }), [lock])).toThrow('lock page')
  })

  test('rejects a snapshot with a missing page', () => {
    const snapshot = header({ minTXID: toTXID(1), preApplyChecksum: 0n, commit: 3 })
    expect(() => write(snapshot, [1, 3])).toThrow('page 3 stands where a snapshot has page 2')
    expect(() => write(snapshot, [1, 2])).toThrow('snapshot ends with page 2 of 3')
  })

  test('rejects checksums that do not match the header', () => {
    expect(() => write(header({ commit: 1 }), [1], 0n)).toThrow('post-apply checksum')
    expect(() => write(header({ commit: 0 }), [], 0x8000000000000001n as Checksum)).toThrow('dropped database')
    expect(() => write(header({ flags: NO_CHECKSUM, preApplyChecksum: 0n }), [1])).toThrow('must be zero')
    expect(() => write(header({ flags: NO_CHECKSUM, preApplyChecksum: 0n, commit: 0 }), [], 0n)).toThrow('commit')
  })

  test('returns the checksum of the page it wrote last', () => {
    const encoder = new Encoder(header({ commit: 9 }), () => {})
    for (const pgno of [2, 7]) {
      encoder.writePage(pgno, pageOf(512, pgno))
      expect(encoder.lastPageChecksum()).toBe(pageChecksum(pgno, pageOf(512, pgno)))
    }
  })

  test('rejects every call after its output failed', () => {
    const encoder = new Encoder(header({ commit: 1 }), () => {
      throw new Error('disk full')
    })
    encoder.writePage(1, page)
    expect(() => encoder.finish(EMPTY_CHECKSUM)).toThrow('disk full')
    expect(() => encoder.finish(EMPTY_CHECKSUM)).toThrow('an earlier call failed')
  })
})
