import { expect, test } from 'vitest'
import { boundedTime, isoTime } from './time.ts'

test('what is no time is written as the nearest one', () => {
  expect([0, 1_796_033_623_508].map(isoTime)).toEqual(['1970-01-01T00:00:00.000Z', '2026-11-30T10:13:43.508Z'])
  for (const ms of [2 ** 53 - 1, 8.64e15 + 1, Infinity]) expect(isoTime(ms)).toBe('9999-12-31T23:59:59.999Z')
  for (const ms of [-(2 ** 53), -Infinity]) expect(isoTime(ms)).toBe('0000-01-01T00:00:00.000Z')
  expect(boundedTime(NaN)).toBe(0)
})
