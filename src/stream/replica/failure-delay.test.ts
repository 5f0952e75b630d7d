import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FailureDelay } from './failure-delay.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

test('a database that fails each time is restarted less and less often, every five minutes in the end', () => {
  const delay = new FailureDelay()
  const delays = Array.from({ length: 16 }, () => {
    const ms = delay.nextMs()
    vi.advanceTimersByTime(ms + 1_000)
    return ms
  })
  expect(delays.slice(0, 4)).toEqual([0, 100, 200, 400])
  expect(delays.at(-1)).toBe(300_000)
})

test('a failure after a minute without one counts as the first', () => {
  const delay = new FailureDelay()
  for (let i = 0; i < 5; i++) delay.nextMs()
  vi.advanceTimersByTime(800 + 60_001)
  expect(delay.nextMs()).toBe(0)
})
