import { expect, test } from 'vitest'
import { formatRate, formatRatio, formatUs, renderTable } from './table.ts'

test('columns have the width of their widest cell, and the chosen alignment', () => {
  const table = renderTable(
    [
      { heading: 'what', align: 'left' },
      { heading: 'n', align: 'right' },
    ],
    [
      ['a', '1,000'],
      ['longer', '7'],
    ],
  )
  expect(table.split('\n')).toEqual(['what        n', '──────  ─────', 'a       1,000', 'longer      7'])
})

test('numbers have enough digits', () => {
  expect(formatRate(123_456.7)).toBe('123,457')
  expect(formatRatio(1.234)).toBe('1.23')
  expect(formatRatio(0.456)).toBe('0.46')
  expect(formatRatio(0.00542)).toBe('0.0054')
  expect(formatUs(4.94)).toBe('4.9')
  expect(formatUs(1_450.2)).toBe('1,450')
})
