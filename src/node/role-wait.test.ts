import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { SharedState } from '../dataplane/shared-state.ts'
import { RoleWait } from './role-wait.ts'

let turns = 0
const shared = new SharedState()
const waitFor = (ttlMs: number) =>
  RoleWait.atStart({ shared, takeTurn: () => turns++ }, { ttlMs }, pino({ level: 'silent' }))

beforeEach(() => {
  turns = 0
  shared.awaiting = 'nothing'
  vi.useFakeTimers()
})
afterEach(() => vi.useRealTimers())

test('what applications write waits for the role twice the TTL at most, or ten seconds', () => {
  for (const [ttlMs, longestMs] of [
    [30_000, 60_000],
    [2_000, 10_000],
    [Infinity, 10_000],
  ] as const) {
    waitFor(ttlMs)
    vi.advanceTimersByTime(longestMs - 1)
    expect(shared.awaiting).toBe('opens')
    vi.advanceTimersByTime(1)
    expect(shared.awaiting).toBe('nothing')
  }
  expect(turns).toBe(3)
})

test('a node that fails to take over again and again does not extend the wait', () => {
  const wait = waitFor(2_000)
  wait.opened()
  expect(shared.awaiting).toBe('writes')
  vi.advanceTimersByTime(9_000)
  wait.begin('writes')
  vi.advanceTimersByTime(1_000)
  expect(shared.awaiting).toBe('nothing')
  wait.opened()
  expect(shared.awaiting).toBe('nothing')
})

test('once the role is known nothing waits, and the data plane looks at once', () => {
  const wait = waitFor(2_000)
  wait.end()
  expect([shared.awaiting, turns]).toEqual(['nothing', 1])
  wait.end()
  expect(turns).toBe(1)
})
