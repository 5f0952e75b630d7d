import { expect, test } from 'vitest'
import { judge, MANY_RUNS, matches } from './verdict.ts'

const EXPECTATIONS = [
  { reason: 'documented: one', checks: ['a-1', 'a-2.*'] },
  { reason: 'documented: by timing', checks: ['a-3'], sometimes: true },
] as const

const difference = (check: string) => ({ check, plain: 'ok', mount: 'failed' })
const BOTH = [difference('a-1'), difference('a-2.7')]

test('a difference is expected if the list has a pattern for it, and its reason counts', () => {
  const { expected, unexpected, stale } = judge([BOTH], EXPECTATIONS)
  expect(expected.map(({ reason }) => reason)).toEqual(['documented: one', 'documented: one'])
  expect(unexpected).toEqual([])
  expect(stale).toEqual([])
})

test('a difference without a pattern, and a pattern without a difference, are not as expected', () => {
  const { unexpected, stale } = judge([[difference('a-1'), difference('b-1')]], EXPECTATIONS)
  expect(unexpected.map(({ check }) => check)).toEqual(['b-1'])
  expect(stale).toEqual(['a-2.*'])
})

test('a difference that depends on timing and was in no run is reported', () => {
  expect(judge([BOTH], EXPECTATIONS)).toMatchObject({ stale: [], unseen: ['a-3'] })
  expect(judge([[...BOTH, difference('a-3')], BOTH], EXPECTATIONS)).toMatchObject({ stale: [], unseen: [] })
})

test('a difference that depends on timing and was in none of many runs is stale', () => {
  const many = Array.from({ length: MANY_RUNS }, () => BOTH)
  expect(judge(many, EXPECTATIONS)).toMatchObject({ stale: ['a-3'], unseen: [] })
  expect(judge([[...BOTH, difference('a-3')], ...many], EXPECTATIONS)).toMatchObject({ stale: [], unseen: [] })
})

test('what is not expected in one run of several is not expected', () => {
  expect(judge([[...BOTH, difference('b-1')], BOTH], EXPECTATIONS).unexpected).toEqual([difference('b-1')])
})

test('in a pattern only the star stands for something else', () => {
  expect(matches('wal-1.*', 'wal-1.2')).toBe(true)
  expect(matches('wal-1.*', 'wal-112')).toBe(false)
  expect(matches('(log) I11: *', '(log) I11: a new WAL begins')).toBe(true)
})
