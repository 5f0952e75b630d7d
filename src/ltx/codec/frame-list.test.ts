import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openUnnamed } from '../../util/unnamed-file.ts'
import { HEADER_SIZE } from '../format/header.ts'
import { putUvarint, UvarintReader } from '../format/varint.ts'
import { FrameList } from './frame-list.ts'
import { openSpillFile } from './spill-file.ts'

type Entry = [pgno: number, sizeBytes: number]

/** Reads the list's bytes as a decoder reads a page index. */
function entriesOf(list: FrameList): Entry[] {
  const reader = new UvarintReader()
  const numbers: number[] = []
  for (const piece of list.pieces()) {
    for (const byte of piece) {
      const value = reader.read(byte)
      if (value !== undefined) numbers.push(value)
    }
  }
  const entries: Entry[] = []
  let expected = HEADER_SIZE
  for (let at = 0; at < numbers.length; at += 3) {
    const [pgno, offset, sizeBytes] = numbers.slice(at) as [number, number, number]
    expect(offset).toBe(expected)
    expected += sizeBytes
    entries.push([pgno, sizeBytes])
  }
  return entries
}

test('frames are read back in the order they were appended, from memory and from a spill', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ltxd-'))
  try {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 100_000 })),
            fc.integer({ min: 11, max: 70_000 }),
          ),
          {
            maxLength: 3000,
          },
        ),
        fc.boolean(),
        (steps, spilling) => {
          let opened = 0
          const open = () => (opened++, openSpillFile(openUnnamed(directory)))
          const list = new FrameList(spilling ? open : undefined, 100)
          let pgno = 0
          const entries = steps.map(([gap, sizeBytes]): Entry => [(pgno += gap), sizeBytes])
          for (const entry of entries) list.append(...entry)
          expect(entriesOf(list)).toEqual(entries)
          expect(entriesOf(list)).toEqual(entries)
          expect(opened).toBeLessThanOrEqual(spilling ? 1 : 0)
          if (spilling && entries.length > 300) expect(opened).toBe(1)
          list.clear()
          expect(entriesOf(list)).toEqual([])
        },
      ),
      { numRuns: 50 },
    )
    expect(readdirSync(directory)).toEqual([])
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a page takes ten bytes at most, in a file of a gigabyte', () => {
  let bytes = 0
  const spill = { append: (chunk: Uint8Array) => void (bytes += chunk.length), chunks: () => [], close() {} }
  const list = new FrameList(() => spill, 0)
  for (let pgno = 1; pgno <= 262_144; pgno++) list.append(pgno, 4000)
  expect(bytes).toBeGreaterThan(262_144)
  expect(bytes).toBeLessThanOrEqual(10 * 262_144)
})

test('varints of all safe integers are read back, larger ones are NaN', () => {
  const read = (bytes: Uint8Array) => {
    const reader = new UvarintReader()
    for (const [at, byte] of bytes.entries()) {
      const value = reader.read(byte)
      if (value !== undefined) return [value, at + 1]
    }
    return undefined
  }
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const bytes = new Uint8Array(10)
      expect(read(bytes)).toEqual([0, 1])
      const size = putUvarint(bytes, 0, value)
      expect(read(bytes)).toEqual([value, size])
    }),
  )
  const max = new Uint8Array(10)
  expect(putUvarint(max, 0, Number.MAX_SAFE_INTEGER)).toBe(8)
  expect(read(max)).toEqual([Number.MAX_SAFE_INTEGER, 8])
  expect(read(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10))).toEqual([NaN, 8])
  expect(read(new Uint8Array(20).fill(0xff))).toEqual([NaN, 10])
})
