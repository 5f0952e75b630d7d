import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anatomy, type Part } from './anatomy.ts'
import { encode } from './file.ts'
import { LTXError } from './format/errors.ts'
import { toTXID } from './format/types.ts'
import { arbitraryFile, databaseChecksum, header, pageOf } from './testing.ts'

const golden = fileURLToPath(new URL('../../test/golden/', import.meta.url))
const ALL = { maxPages: Infinity, maxDataBytes: Infinity }

function partsOf(bytes: Uint8Array, options = ALL): Part[] {
  // Into the same memory each time, as from a file.
  const buffer = Buffer.alloc(bytes.length)
  const read = (offset: number, length: number) => {
    const found = bytes.subarray(offset, offset + length)
    buffer.fill(0xee).set(found)
    return buffer.subarray(0, found.length)
  }
  return [...anatomy(read, bytes.length, options)]
}

function assertCovers(parts: readonly Part[], bytes: Uint8Array): void {
  let at = 0
  for (const part of parts) {
    expect(part.offset, part.field).toBe(at)
    at += part.sizeBytes
  }
  expect(at).toBe(bytes.length)
  expect(Buffer.concat(parts.map((part) => part.bytes)).equals(bytes)).toBe(true)
}

describe('the parts of a valid file', () => {
  test('are all of its bytes, in order and without a problem: files of the reference', () => {
    const files = readdirSync(golden).filter((name) => name.endsWith('.ltx'))
    expect(files.length).toBeGreaterThan(0)
    for (const name of files) {
      const bytes = new Uint8Array(readFileSync(golden + name))
      const parts = partsOf(bytes)
      assertCovers(parts, bytes)
      expect(parts.filter(({ problem }) => problem !== undefined)).toEqual([])
    }
  })

  test('are all of its bytes, in any file', () => {
    fc.assert(
      fc.property(arbitraryFile(), (file) => {
        const bytes = encode(file.header, file.pages, file.postApply)
        const parts = partsOf(bytes)
        assertCovers(parts, bytes)
        const pages = parts.filter(({ field }) => field === 'page number').map(({ meaning }) => meaning)
        expect(pages).toEqual([...file.pages.keys()].map((pgno) => `page ${pgno}`))
      }),
      { numRuns: 50 },
    )
  })

  test('beyond the first pages are counted, not shown', () => {
    const bytes = snapshotOf(20)
    const parts = partsOf(bytes, { maxPages: 3, maxDataBytes: 4 })
    expect(parts.filter(({ field }) => field === 'page number')).toHaveLength(3)
    expect(parts.filter(({ field }) => field === undefined).map(({ meaning }) => meaning)).toEqual([
      '… 17 more pages',
      '… 17 more entries',
    ])
    for (const { field, bytes: shown } of parts) if (field === 'page data') expect(shown).toHaveLength(4)
  })
})

describe('the parts of a damaged file', () => {
  test('are shown whatever their values are, up to an error that names its offset', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.option(fc.nat()), (where, flip, cut) => {
        const bytes = snapshotOf(5)
        bytes[where % bytes.length]! ^= flip
        const file = cut === null ? bytes : bytes.subarray(0, cut % bytes.length)
        try {
          partsOf(file)
        } catch (error) {
          expect(error).toBeInstanceOf(LTXError)
          expect((error as LTXError).offset).toBeLessThanOrEqual(file.length)
          expect((error as LTXError).field).toBeDefined()
        }
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['flags', 7, 0x80],
    ['pre-apply checksum', 47, 1],
    ['page flags', 104, 0x40],
    ['page index size', 0, 0],
  ])('include invalid values of %s, marked as a problem', (field, at, value) => {
    const bytes = snapshotOf(2)
    bytes[at === 0 ? bytes.length - 17 : at] = value
    const found = partsOf(bytes).filter(({ problem }) => problem !== undefined)
    expect(found.map((part) => part.field)).toContain(field)
  })

  test('include the bytes behind its end, marked as a problem', () => {
    const bytes = Buffer.concat([snapshotOf(2), Buffer.from('more')])
    expect(partsOf(bytes).at(-1)).toMatchObject({ sizeBytes: 4, problem: 'expected the end of the file' })
  })
})

function snapshotOf(commit: number): Uint8Array {
  const pages = Array.from({ length: commit }, (_, i) => [i + 1, pageOf(512, i)] as const)
  const fields = { commit, minTXID: toTXID(1), maxTXID: toTXID(1), preApplyChecksum: 0n } as const
  return encode(header(fields), pages, databaseChecksum(pages))
}
