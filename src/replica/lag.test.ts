import { expect, test } from 'vitest'
import { Lag, SILENT_MS } from './lag.ts'

test('the lag is unknown until the primary was heard, and grows with the clock when it is heard no more', () => {
  let nowMs = 1_000
  const lag = new Lag(() => nowMs)
  expect(lag.ms).toBeUndefined()
  lag.heard(7)
  nowMs += SILENT_MS
  expect(lag.ms).toBe(7)
  nowMs += 1
  expect(lag.ms).toBe(7 + SILENT_MS + 1)
  nowMs += 60_000
  expect(lag.ms).toBe(7 + SILENT_MS + 60_001)
  lag.heard(3)
  expect(lag.ms).toBe(3)
})

test('the lag is at least the time for which a received transaction has waited to be applied', () => {
  const lag = new Lag(() => 1_000)
  lag.heard(7)
  lag.unappliedMs = 5_000
  expect(lag.ms).toBe(5_000)
  lag.unappliedMs = 0
  expect(lag.ms).toBe(7)
})
