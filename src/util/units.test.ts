import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDuration, formatSize, formatSizeExact, parseDuration, parseSize } from './units.ts'

test('durations are read in every unit, alone and joined', () => {
  expect(parseDuration('250ms')).toBe(250)
  expect(parseDuration('1s')).toBe(1_000)
  expect(parseDuration('10m')).toBe(600_000)
  expect(parseDuration('1.5h')).toBe(5_400_000)
  expect(parseDuration('7d')).toBe(604_800_000)
  expect(parseDuration('1h30m')).toBe(5_400_000)
  expect(parseDuration('0')).toBe(0)
})

test('what is no duration is refused, a bare number above all', () => {
  for (const text of ['', '10', 'm', '-1s', '10x', '1 h', '1e3s', '10m extra', '99999999999999999d']) {
    expect(parseDuration(text), text).toBeUndefined()
  }
})

test('sizes are read in decimal and binary units and as bare bytes', () => {
  expect(parseSize('4096')).toBe(4096)
  expect(parseSize('64MB')).toBe(64_000_000)
  expect(parseSize('64 MiB')).toBe(64 * 2 ** 20)
  expect(parseSize('1.5gb')).toBe(1_500_000_000)
  for (const text of ['', 'MB', '-1', '1XB', '1MBB', '99999999TiB']) expect(parseSize(text), text).toBeUndefined()
})

test('what is formatted exactly is read back the same', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 45 }), (n) => {
      expect(parseDuration(formatDuration(n))).toBe(n)
      expect(parseSize(formatSizeExact(n))).toBe(n)
    }),
  )
})

test('sizes for people have about three digits', () => {
  expect(formatSize(0)).toBe('0 B')
  expect(formatSize(999)).toBe('999 B')
  expect(formatSize(1_234_567)).toBe('1.23 MB')
  expect(formatSize(952_000_000)).toBe('952 MB')
  expect(formatSize(99_960_000)).toBe('100 MB')
})
