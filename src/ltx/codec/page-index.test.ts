import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encode } from '../file.ts'
import { EMPTY_CHECKSUM } from '../format/types.ts'
import { arbitraryFile, header, pageOf } from '../testing.ts'
import { INDEX_TAIL_SIZE, pageIndexRange, readFrame, readPageIndex } from './page-index.ts'

function indexOf(bytes: Uint8Array) {
  return pageIndexRange(bytes.slice(-INDEX_TAIL_SIZE), bytes.length)
}

test('every page can be read through the index alone', () => {
  fc.assert(
    fc.property(arbitraryFile(), (file) => {
      const bytes = encode(file.header, file.pages, file.postApply)
      const range = indexOf(bytes)
      const index = readPageIndex(bytes.subarray(range.start, range.end), file.header, range)
      expect([...index].map(({ pgno }) => pgno)).toEqual([...file.pages.keys()])
      for (const [pgno, page] of file.pages) {
        const entry = index.find(pgno)!
        const frame = bytes.subarray(entry.offset, entry.offset + entry.sizeBytes)
        expect(readFrame(frame, entry, file.header.pageSize)).toEqual(page)
      }
      for (let pgno = 0; pgno < 15; pgno++) expect(index.find(pgno) !== undefined).toBe(file.pages.has(pgno))
    }),
    { numRuns: 50 },
  )
})

test('an impossible index size is rejected before the index is read', () => {
  const bytes = encode(
    header({ commit: 9 }),
    [1, 2].map((n) => [n, pageOf(512, n)]),
    EMPTY_CHECKSUM,
  )
  const sizeAt = bytes.length - INDEX_TAIL_SIZE
  for (const size of [0n, BigInt(sizeAt - 105), 1n << 40n, (1n << 64n) - 1n]) {
    const broken = bytes.slice()
    new DataView(broken.buffer).setBigUint64(sizeAt, size)
    expect(() => indexOf(broken), `${size}`).toThrow(
      expect.objectContaining({ field: 'page index size', offset: sizeAt }),
    )
  }
  expect(() => pageIndexRange(bytes.subarray(0, 10), 10)).toThrow('ends before')
})

test('no changed byte of the index leads outside the page block', () => {
  const h = header({ commit: 9 })
  const bytes = encode(
    h,
    [1, 2, 5].map((n) => [n, pageOf(512, n)]),
    EMPTY_CHECKSUM,
  )
  const range = indexOf(bytes)
  for (let at = 0; at < range.end - range.start; at++) {
    for (let value = 0; value < 256; value++) {
      const broken = bytes.slice(range.start, range.end)
      if (broken[at] === value) continue
      broken[at] = value
      let entries: unknown[]
      try {
        entries = [...readPageIndex(broken, h, range)]
      } catch (error) {
        expect(error).toMatchObject({ code: 'LTX_INVALID', field: 'page index' })
        continue
      }
      // Only a changed page number can leave the index valid. The frame has the right number.
      expect(entries).toHaveLength(3)
      const wrong = [...readPageIndex(broken, h, range)].filter((entry) => ![1, 2, 5].includes(entry.pgno))
      expect(wrong).toHaveLength(1)
      const { offset, sizeBytes } = wrong[0]!
      expect(() => readFrame(bytes.subarray(offset, offset + sizeBytes), wrong[0]!, 512)).toThrow('holds page')
    }
  }
})

test('an index that is cut short is rejected', () => {
  const h = header({ commit: 9 })
  const bytes = encode(
    h,
    [1, 2, 5].map((n) => [n, pageOf(512, n)]),
    EMPTY_CHECKSUM,
  )
  const { start, end } = indexOf(bytes)
  for (let cut = start; cut < end; cut++) {
    expect(() => readPageIndex(bytes.subarray(start, cut), h, { start, end: cut })).toThrow('page index: ends within')
  }
})
