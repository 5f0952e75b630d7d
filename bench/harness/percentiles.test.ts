import { expect, test } from 'vitest'
import { median, percentile } from './percentiles.ts'

test('a percentile is a measured value, by nearest rank', () => {
  const values = [10, 20, 30, 40]
  expect(percentile(values, 0)).toBe(10)
  expect(percentile(values, 0.5)).toBe(20)
  expect(percentile(values, 0.51)).toBe(30)
  expect(percentile(values, 1)).toBe(40)
})

test('p99 of a hundred values leaves one above it', () => {
  const values = Float64Array.from({ length: 100 }, (_, i) => i + 1)
  expect(percentile(values, 0.99)).toBe(99)
})

test('the median does not depend on the order, and does not change its input', () => {
  const values = [3, 1, 2]
  expect(median(values)).toBe(2)
  expect(values).toEqual([3, 1, 2])
  expect(median([4, 1, 2, 3])).toBe(2.5)
})

test('no values are an error, not a zero', () => {
  expect(() => percentile([], 0.5)).toThrow(RangeError)
  expect(() => median([])).toThrow(RangeError)
})
