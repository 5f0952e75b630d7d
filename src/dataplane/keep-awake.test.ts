import { expect, test } from 'vitest'
import { AWAKE_MS, KeepAwake, REQUESTS_TO_WAKE } from './keep-awake.ts'

test('spins while requests arrive, and for a moment after the last one', () => {
  const keepAwake = new KeepAwake(KeepAwake.buffer())
  let nowMs = 0
  let looks = 0
  keepAwake.watch(() => {
    looks++
    // One request each 2 ms, the last at 40.
    nowMs += 2
    if (nowMs <= 40) keepAwake.requested()
    return nowMs
  })
  expect(nowMs).toBeGreaterThan(40)
  expect(nowMs).toBeLessThanOrEqual(40 + 2 * AWAKE_MS)
  expect(looks).toBe(nowMs / 2)
})

test('a sleeping thread is woken only by several requests', () => {
  const buffer = KeepAwake.buffer()
  const keepAwake = new KeepAwake(buffer)
  const asleep = () => new Int32Array(buffer)[1] === 1
  for (let i = 0; i < 5; i++) keepAwake.requested()
  new Int32Array(buffer)[1] = 1
  let requests = 0
  for (; asleep() && requests < 1_000; requests++) keepAwake.requested()
  expect(requests).toBeLessThanOrEqual(REQUESTS_TO_WAKE)
  expect(requests).toBeGreaterThan(1)
})
