import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HEADER_SIZE } from '../format/header.ts'
import { putUvarint } from '../format/varint.ts'
import { IndexCheck } from './index-check.ts'

type Entry = readonly [pgno: number, offset: number, size: number]

const OFFSET = 5000

/** What reading the bytes in pieces of this size comes to: where the index ended, or what was wrong, and where. */
function outcome(frames: readonly Entry[], bytes: Uint8Array, pieceBytes: number): string {
  const check = new IndexCheck()
  for (const [pgno, , size] of frames) check.frame(pgno, size)
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const { used, ended } = check.read(bytes.subarray(at, at + pieceBytes), OFFSET + at)
      if (ended) return `ended at ${at + used}, ${check.sizeBytes} bytes`
    }
    return `goes on after ${check.sizeBytes} bytes`
  } catch (error) {
    return String(error)
  }
}

function encoded(entries: readonly Entry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * 24 + 1)
  let at = 0
  for (const entry of entries) for (const value of entry) at = putUvarint(bytes, at, value)
  return bytes.subarray(0, putUvarint(bytes, at, 0))
}

const arbitraryFrames = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 7, max: 70_000 })), { maxLength: 30 })
  .map((steps) => {
    let pgno = 0
    let offset = HEADER_SIZE
    return steps.map(([gap, size]): Entry => {
      pgno += gap
      offset += size
      return [pgno, offset - size, size]
    })
  })

test('a valid index is accepted in pieces of any size', () => {
  fc.assert(
    fc.property(arbitraryFrames, fc.integer({ min: 1, max: 60 }), (frames, pieceBytes) => {
      const bytes = encoded(frames)
      const right = `ended at ${bytes.length}, ${bytes.length} bytes`
      expect(outcome(frames, bytes, bytes.length)).toBe(right)
      expect(outcome(frames, bytes, pieceBytes)).toBe(right)
    }),
  )
})

test('the error for an invalid index does not depend on the pieces in which it arrives', () => {
  const arbitraryChange = fc.tuple(
    fc.nat(),
    fc.oneof(fc.constantFrom(0, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 })),
  )
  fc.assert(
    fc.property(arbitraryFrames, fc.array(arbitraryChange, { minLength: 1, maxLength: 3 }), (frames, changes) => {
      const bytes = encoded(frames)
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      expect(outcome(frames, bytes, bytes.length)).toBe(outcome(frames, bytes, 1))
    }),
    { numRuns: 3000 },
  )
})
