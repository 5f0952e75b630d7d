import { expect, test } from 'vitest'
import { type Line, shareOfNative, summarize } from './figures.ts'

test('figures are the medians of rounds, and the daemon’s time per operation', () => {
  const figure = summarize([
    { sample: { operations: 100, seconds: 1, p50Us: 5, p99Us: 50 }, daemonUs: 1_000 },
    { sample: { operations: 300, seconds: 1, p50Us: 7, p99Us: 70 }, daemonUs: 6_000 },
    { sample: { operations: 400, seconds: 2, p50Us: 6, p99Us: 60 }, daemonUs: 12_000 },
  ])
  expect(figure).toEqual({ value: 200, p50Us: 6, p99Us: 60, daemonUs: 20 })
})

test('a figure that was not measured is absent', () => {
  expect(summarize([{ sample: { operations: 10, seconds: 2 }, daemonUs: undefined }])).toEqual({ value: 5 })
})

test('the share of native needs both figures', () => {
  const line: Line = { id: 'x', what: 'x', native: { value: 200 }, ltxd: { value: 50 } }
  expect(shareOfNative(line)).toBe(0.25)
  expect(shareOfNative({ ...line, ltxd: { missing: 'refused' } })).toBeUndefined()
})
