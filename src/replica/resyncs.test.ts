import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Resyncs } from './resyncs.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function requested() {
  const requests: string[] = []
  return { requests, resyncs: new Resyncs((database) => requests.push(database)) }
}

test('a database that cannot continue requests a snapshot at once, and again after growing pauses', () => {
  const { requests, resyncs } = requested()
  const takenMs: number[] = []
  for (let i = 0; i < 9; i++) {
    resyncs.broken('a.db')
    const before = requests.length
    let ms = 0
    for (; requests.length === before; ms += 100) vi.advanceTimersByTime(ms === 0 ? 0 : 100)
    takenMs.push(ms - 100)
  }
  expect(takenMs).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
})

test('a database that a snapshot has healed requests no other one, however it was requested before', () => {
  const { requests, resyncs } = requested()
  resyncs.broken('a.db')
  vi.runAllTimers()
  resyncs.broken('a.db')
  resyncs.healed('a.db')
  vi.runAllTimers()
  expect(requests).toEqual(['a.db'])
})

test('several failures of a database before its turn are one request', () => {
  const { requests, resyncs } = requested()
  for (let i = 0; i < 5; i++) resyncs.broken('a.db')
  vi.advanceTimersByTime(0)
  expect(requests).toEqual(['a.db'])
  vi.runAllTimers()
  expect(requests).toEqual(['a.db'])
})

test('what one connection was to request is not requested of the next one, which begins with everything that is broken', () => {
  const { requests, resyncs } = requested()
  resyncs.broken('a.db')
  vi.runAllTimers()
  resyncs.broken('a.db')
  resyncs.disconnected()
  vi.runAllTimers()
  expect(requests).toEqual(['a.db'])
})
