import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toTXID } from '../ltx/format/types.ts'
import type { RetentionLimits, SegmentFacts } from './retention.ts'
import { assertExpendable, planRetention } from './retention.ts'

/** Segments of ten transactions and 100 bytes each, one a second. */
function segments(count: number): SegmentFacts[] {
  return Array.from({ length: count }, (_, i) => ({
    first: toTXID(1 + 10 * i),
    path: `segment ${i}`,
    sizeBytes: 100,
    lastAppendMs: 1000 * (i + 1),
  }))
}

const limits = (fields: Partial<RetentionLimits> = {}): RetentionLimits => ({
  ageMs: 1e9,
  sizeBytes: 1e9,
  nowMs: 10_000,
  synced: toTXID(1000),
  uploaded: undefined,
  ...fields,
})

const removed = (count: number, fields: Partial<RetentionLimits>) =>
  planRetention(segments(count), limits(fields)).remove.length

test('segments within age and size stay', () => {
  expect(removed(10, {})).toBe(0)
})

test('segments are removed by age and by size, the oldest first', () => {
  expect(removed(10, { ageMs: 6_500 })).toBe(3)
  expect(removed(10, { sizeBytes: 650 })).toBe(4)
  expect(planRetention(segments(10), limits({ sizeBytes: 650 })).remove.map(({ path }) => path)).toEqual(
    [0, 1, 2, 3].map((i) => `segment ${i}`),
  )
})

test('the last segment stays, whatever its age', () => {
  expect(removed(10, { ageMs: 0, sizeBytes: 0 })).toBe(9)
  expect(removed(1, { ageMs: 0, sizeBytes: 0 })).toBe(0)
  expect(removed(0, { ageMs: 0, sizeBytes: 0 })).toBe(0)
})

test('records that recovery needs stay: from the position up to which the database file is durable', () => {
  expect(removed(10, { sizeBytes: 0, synced: toTXID(20) })).toBe(1)
  expect(removed(10, { sizeBytes: 0, synced: toTXID(21) })).toBe(2)
})

test('records that the backup still needs stay, and the excess is reported', () => {
  const plan = planRetention(segments(10), limits({ sizeBytes: 250, uploaded: toTXID(35) }))
  expect(plan.remove).toHaveLength(3)
  expect(plan.overdueBytes).toBe(450)
  expect(planRetention(segments(10), limits({ sizeBytes: 250, uploaded: toTXID(100) })).overdueBytes).toBe(0)
})

test('for any limits only a beginning is removed, the rest is gapless, and nothing needed is removed', () => {
  fc.assert(
    fc.property(
      fc.record({
        count: fc.integer({ min: 0, max: 30 }),
        ageMs: fc.integer({ min: 0, max: 40_000 }),
        sizeBytes: fc.integer({ min: 0, max: 4000 }),
        synced: fc.integer({ min: 0, max: 400 }),
        uploaded: fc.option(fc.integer({ min: 0, max: 400 }), { nil: undefined }),
      }),
      ({ count, ageMs, sizeBytes, synced, uploaded }) => {
        const all = segments(count)
        const bound = uploaded === undefined ? undefined : toTXID(uploaded)
        const { remove } = planRetention(
          all,
          limits({ nowMs: 30_000, ageMs, sizeBytes, synced: toTXID(synced), uploaded: bound }),
        )
        expect(remove).toEqual(all.slice(0, remove.length))
        expect(remove.length).toBeLessThanOrEqual(Math.max(0, count - 1))
        const lastGone = BigInt(remove.length * 10)
        if (remove.length > 0) expect(lastGone).toBeLessThan(BigInt(synced))
        if (remove.length > 0 && uploaded !== undefined) expect(lastGone).toBeLessThanOrEqual(BigInt(uploaded))
      },
    ),
  )
})

test('I9: a removal of what recovery or the backup needs is stopped, whoever planned it', () => {
  const all = segments(10)
  const remove = (count: number, synced: number, uploaded?: number) => () =>
    assertExpendable(all, all.slice(0, count), {
      synced: toTXID(synced),
      uploaded: uploaded === undefined ? undefined : toTXID(uploaded),
    })
  expect(remove(3, 31)).not.toThrow()
  expect(remove(3, 30)).toThrow(/I9/)
  expect(remove(3, 31, 30)).not.toThrow()
  expect(remove(3, 31, 29)).toThrow(/I9/)
  expect(remove(10, 1000)).toThrow(/I9/)
  expect(() => assertExpendable(all, all.slice(1, 3), limits())).toThrow(/I9/)
})
