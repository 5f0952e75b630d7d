import { expect, test } from 'vitest'
import { Repeated } from './repeated.ts'

test('what fails at every attempt is due once a minute, each thing by itself, also when the clock is set back', () => {
  let now = 0
  const repeated = new Repeated(() => now)
  expect([repeated.isDue('a.db', 'x'), repeated.isDue('a.db', 'x'), repeated.isDue('b.db', 'x')]).toEqual([
    true,
    false,
    true,
  ])
  now = 59_999
  expect(repeated.isDue('a.db', 'x')).toBe(false)
  now = 60_000
  expect(repeated.isDue('a.db', 'x')).toBe(true)
  now = 1_000
  expect(repeated.isDue('a.db', 'x')).toBe(true)
})
