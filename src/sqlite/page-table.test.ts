import fc from 'fast-check'
import { expect, test } from 'vitest'
import { foldAll } from '../log/page-checksums.ts'
import type { Checksum } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM } from '../ltx/format/types.ts'
import { exchange, PageTable } from './page-table.ts'

const sum = (value: number) => ((1n << 63n) | BigInt(value)) as Checksum

/** The table's model: a plain map. */
class Model {
  readonly sums = new Map<number, Checksum>()
  readonly frames = new Map<number, number>()
  size = 0

  resize(size: number): void {
    this.size = size
    for (const map of [this.sums, this.frames]) for (const pgno of map.keys()) if (pgno > size) map.delete(pgno)
  }
}

test('the table equals a map, whatever the order of changes', () => {
  const pgno = fc.integer({ min: 1, max: 300 })
  const change = fc.oneof(
    fc.record({ kind: fc.constant('page' as const), pgno, value: fc.integer({ min: 1, max: 1e6 }) }),
    fc.record({ kind: fc.constant('frame' as const), pgno, value: fc.integer({ min: 0, max: 1e5 }) }),
    fc.record({ kind: fc.constant('clear' as const), pgno, value: fc.constant(0) }),
    fc.record({ kind: fc.constant('resize' as const), pgno, value: fc.constant(0) }),
  )
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
      const table = new PageTable()
      const model = new Model()
      for (const { kind, pgno, value } of changes) {
        if (kind === 'resize') {
          table.resize(pgno)
          model.resize(pgno)
        }
        if (pgno > model.size) continue
        if (kind === 'page') {
          table.setChecksum(pgno, sum(value))
          model.sums.set(pgno, sum(value))
        } else if (kind === 'frame') {
          table.setFrame(pgno, value)
          model.frames.set(pgno, value)
        } else if (kind === 'clear') {
          table.clearFrame(pgno)
          model.frames.delete(pgno)
        }
      }
      expect(table.sizePages).toBe(model.size)
      expect(table.pagesInWal).toBe(model.frames.size)
      expect(Array.from(table.listInWal())).toEqual(Array.from(model.frames.keys()).sort((a, b) => a - b))
      for (let pgno = 1; pgno <= 310; pgno++) {
        expect(table.checksum(pgno)).toBe(model.sums.get(pgno) ?? 0n)
        expect(table.frame(pgno)).toBe(model.frames.get(pgno) ?? -1)
      }
      expect(table.snapshot()).toHaveLength(model.size)
      expect(foldAll(table.snapshot())).toBe(foldAll(BigUint64Array.from(model.sums.values())))
    }),
  )
})

test('a table made of checksums has them, and no page in the WAL', () => {
  const table = new PageTable(BigUint64Array.from([sum(1), 0n, sum(3)]))
  expect([1, 2, 3, 4].map((pgno) => table.checksum(pgno))).toEqual([sum(1), 0n, sum(3), 0n])
  expect(table.sizePages).toBe(3)
  expect(table.pagesInWal).toBe(0)
})

test('pages added and removed in any order leave the checksum of the remaining pages', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.bigInt({ min: 1n, max: (1n << 62n) - 1n }), { maxLength: 30 }),
      fc.nat(29),
      (values, kept) => {
        const sums = values.map((value) => ((1n << 63n) | value) as Checksum)
        let database = EMPTY_CHECKSUM
        for (const checksum of sums) database = exchange(database, 0n, checksum)
        for (const checksum of sums.slice(kept)) database = exchange(database, checksum, 0n)
        expect(database).toBe(foldAll(BigUint64Array.from(sums.slice(0, kept))))
      },
    ),
  )
})
