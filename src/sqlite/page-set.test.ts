import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lockPgno } from '../ltx/format/types.ts'
import { PageSet } from './page-set.ts'

test('a page set has the pages that were added and not cut off, and finds the first that a database lacks', () => {
  const pgno = fc.integer({ min: 1, max: 9000 })
  const steps = fc.array(fc.oneof(fc.record({ add: pgno }), fc.record({ truncate: pgno })), { maxLength: 40 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: 12 }), (taken, commit) => {
      const [set, model] = [new PageSet(), new Set<number>()]
      for (let first = 1; first <= commit; first++) for (const one of [set, model]) one.add(first)
      for (const step of taken) {
        if ('add' in step) for (const one of [set, model]) one.add(step.add)
        else {
          set.truncate(step.truncate)
          for (const page of model) if (page > step.truncate) model.delete(page)
        }
      }
      const numbers = Array.from({ length: 9100 }, (_, i) => i + 1)
      expect(numbers.filter((one) => set.has(one))).toEqual([...model].sort((a, b) => a - b))
      for (const size of [commit, 9000]) {
        expect(set.firstMissing(size, 4096)).toBe(numbers.find((one) => one <= size && !model.has(one)))
      }
    }),
  )
})

test('a page set of a whole database needs no lock page', () => {
  const set = new PageSet()
  const lock = lockPgno(65_536)
  for (let pgno = 1; pgno <= lock + 2; pgno++) if (pgno !== lock) set.add(pgno)
  expect([lock - 1, lock, lock + 1, lock + 2, lock + 3].map((commit) => set.firstMissing(commit, 65_536))).toEqual([
    ...[undefined, undefined, undefined, undefined],
    lock + 3,
  ])
})
