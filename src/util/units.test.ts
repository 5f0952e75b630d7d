import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describeDuration, formatDuration, formatSize, formatSizeExact, parseDuration, parseSize } from './units.ts'

test('durations are parsed in every unit, alone and joined', () => {
  expect(parseDuration('250ms')).toBe(250)
  expect(parseDuration('1s')).toBe(1_000)
  expect(parseDuration('10m')).toBe(600_000)
  expect(parseDuration('1.5h')).toBe(5_400_000)
  expect(parseDuration('7d')).toBe(604_800_000)
  expect(parseDuration('1h30m')).toBe(5_400_000)
  expect(parseDuration('0')).toBe(0)
})

test('text that is no duration is rejected, and so is a bare number', () => {
  for (const text of ['', '10', 'm', '-1s', '10x', '1 h', '1e3s', '10m extra', '99999999999999999d']) {
    expect(parseDuration(text), text).toBeUndefined()
  }
})

test('sizes are parsed in decimal and binary units and as bare bytes', () => {
  expect(parseSize('4096')).toBe(4096)
  expect(parseSize('64MB')).toBe(64_000_000)
  expect(parseSize('64 MiB')).toBe(64 * 2 ** 20)
  expect(parseSize('1.5gb')).toBe(1_500_000_000)
  for (const text of ['', 'MB', '-1', '1XB', '1MBB', '99999999TiB']) expect(parseSize(text), text).toBeUndefined()
})

test('an exact format is parsed back to the same number', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 45 }), (n) => {
      expect(parseDuration(formatDuration(n))).toBe(n)
      expect(parseSize(formatSizeExact(n))).toBe(n)
    }),
  )
})

test('durations for people have at most two units, with spaces', () => {
  const texts = [0, 12, 999.6, 1_000, 1_198, 59_999, 60_000, 125_400, 3_600_000, 12_000_000, 86_400_000, 187_200_000]
  expect(texts.map(describeDuration)).toEqual([
    ...['0 ms', '12 ms', '1 s', '1 s', '1.198 s', '59.999 s'],
    ...['1 min', '2 min 5 s', '1 h', '3 h 20 min', '1 d', '2 d 4 h'],
  ])
})

test('sizes for people have about three digits', () => {
  expect(formatSize(0)).toBe('0 B')
  expect(formatSize(999)).toBe('999 B')
  expect(formatSize(1_234_567)).toBe('1.23 MB')
  expect(formatSize(952_000_000)).toBe('952 MB')
  expect(formatSize(99_960_000)).toBe('100 MB')
})
