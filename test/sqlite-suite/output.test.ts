import { expect, test } from 'vitest'
import { compare, END, type End, type Run } from './compare.ts'
import { parseErrorCount, parseTestfixture } from './output.ts'

const OUTPUT = `wal-1.0... Ok
wal-1.1...
! wal-1.1 expected: [0 {a
b}]
! wal-1.1 got:      [1 {no such table}]
wal-1.2...
Error: disk I/O error
wal-1.3...some output
of the check Ok
wal-1.4... Omitted
wal-1.0... Ok
2 errors out of 6 tests on vm Linux 64-bit little-endian
!Failures on these tests: wal-1.1 wal-1.2
`

test('a check has a result for each of its occurrences, with what a failed one expected and got', () => {
  const { checks, count, finished } = parseTestfixture(OUTPUT)
  expect(finished).toBe(true)
  expect(count).toBe(6)
  expect([...checks].map(([name, results]) => [name, ...results.map(({ ok }) => ok)])).toEqual([
    ['wal-1.0', true, true],
    ['wal-1.1', false],
    ['wal-1.2', false],
    ['wal-1.3', true],
    ['wal-1.4', true],
  ])
  expect(checks.get('wal-1.1')?.[0]?.detail).toContain('got [1 {no such table}]')
  expect(checks.get('wal-1.2')?.[0]?.detail).toBe('Error: disk I/O error')
})

test('dots that threads print before a check are no name', () => {
  expect([...parseTestfixture('....a-1... Ok\n...\n').checks.keys()]).toEqual(['a-1'])
})

test('a check that fails on the plain directory only is no difference', () => {
  const failed = run(`a-1...\n! a-1 expected: [1]\n! a-1 got:      [2]\n${FINISHED}`)
  expect(compare(failed, run(`a-1... Ok\n${FINISHED}`))).toEqual([])
})

test('output that ends in the middle names the check and what followed', () => {
  const { finished, last, after } = parseTestfixture('a-1... Ok\na-2...\nerror renaming "x"\n    while executing\n')
  expect(finished).toBe(false)
  expect(last).toBe('a-2')
  expect(after).toContain('error renaming "x"')
})

test('a program that only counts errors is one check', () => {
  expect(parseErrorCount('Summary: 0 errors out of 113 tests\n').checks.get('no errors')).toEqual([{ ok: true }])
  expect(parseErrorCount('Total of 3 errors across 1 test\n').checks.get('no errors')?.[0]?.ok).toBe(false)
  expect(parseErrorCount('interrupted\n').finished).toBe(false)
})

const run = (output: string, end: End = { kind: 'exit', code: 0 }): Run => ({
  results: parseTestfixture(output),
  end,
  seconds: 1,
})
const FINISHED = '0 errors out of 2 tests\n'

test('a check that fails on one side only, or is missing there, is a difference', () => {
  const plain = run(`a-1... Ok\na-2... Ok\na-3... Ok\n${FINISHED}`)
  const mount = run(`a-1... Ok\na-2...\n! a-2 expected: [1]\n! a-2 got:      [2]\n${FINISHED}`)
  expect(compare(plain, mount).map(({ check }) => check)).toEqual(['a-2', 'a-3'])
  expect(compare(mount, mount)).toEqual([])
})

test('checks that a script did not reach are one difference, its end', () => {
  const plain = run(`a-1... Ok\na-2... Ok\na-3... Ok\n${FINISHED}`)
  const hung = run('a-1... Ok\na-2...', { kind: 'time limit' })
  expect(compare(plain, hung)).toEqual([{ check: END, plain: 'finished', mount: 'time limit, in a-2' }])
})
