import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Checksum } from '../ltx/format/types.ts'
import { WalVersions } from './wal-versions.ts'

const sum = (value: number) => BigInt(value) as Checksum

test('the versions equal a list of all frames, whatever is committed, abandoned or discarded', () => {
  const transaction = fc.record({
    kind: fc.constant('commit' as const),
    pgnos: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
    superseded: fc.integer({ min: 0, max: 3 }),
  })
  const cut = fc.record({ kind: fc.constant('cut' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) })
  const clear = fc.record({ kind: fc.constant('clear' as const) })
  const steps = fc.array(fc.oneof({ weight: 8, arbitrary: transaction }, cut, clear), { maxLength: 30 })
  fc.assert(
    fc.property(steps, (all) => {
      const versions = new WalVersions()
      let model: { pgno: number; frame: number; sum: number }[] = []
      let end = 0
      let value = 0
      for (const step of all) {
        if (step.kind === 'clear') {
          versions.clear()
          model = []
          end = 0
        } else if (step.kind === 'cut') {
          end = Math.floor(end * step.share)
          versions.cut(end)
          model = model.filter(({ frame }) => frame < end)
        } else {
          end += step.superseded
          const added = step.pgnos.map((pgno) => ({ pgno, frame: end++, sum: ++value }))
          // Pages come in ascending order, their frames in any.
          for (const each of added.toSorted((a, b) => a.pgno - b.pgno))
            versions.add(each.pgno, each.frame, sum(each.sum))
          model.push(...added)
        }
        for (let pgno = 1; pgno <= 40; pgno++) {
          const own = model.filter((each) => each.pgno === pgno).toReversed()
          expect(Array.from(versions.frames(pgno))).toEqual(own.map(({ frame }) => frame))
          for (const each of model) expect(versions.has(pgno, sum(each.sum))).toBe(each.pgno === pgno)
        }
      }
    }),
    { numRuns: 40 },
  )
})
