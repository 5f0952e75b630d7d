import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { DelayedReplies, type DelayedReply, Delays } from './delays.ts'

const REPLY = { uniqueLow: 7, uniqueHigh: -1, size: 24, deadlineNs: 0n }

/** Both sides in one thread, under the test's clock. */
function bothSides() {
  const clock = { ms: 1_000 }
  const delays = new Delays(Delays.buffer(), () => clock.ms)
  const sent: DelayedReply[] = []
  void new DelayedReplies(delays.buffer).serve((reply) => void sent.push(reply))
  return { clock, delays, sent }
}

test('commits come at most one in an interval, however short it is', () => {
  const { clock, delays } = bothSides()
  delays.setInterval(5, 0.25)
  // A program that takes 0.05 ms for each commit.
  let committed = 0
  for (const endMs = clock.ms + 100; clock.ms < endMs; committed++) {
    clock.ms += 0.05
    // The delay of what is held: the reply comes when it is due.
    if (delays.hold(5, REPLY)) clock.ms += 1
  }
  expect(committed).toBeGreaterThan(300)
  expect(committed).toBeLessThan(450)
})

test('a delayed reply is sent as it was, and only once', async () => {
  const { delays, sent } = bothSides()
  delays.setInterval(0, 5)
  expect(delays.hold(0, REPLY)).toBe(false)
  const deadlineNs = (1n << 40n) * 1_000_000n
  expect(delays.hold(0, { ...REPLY, deadlineNs })).toBe(true)
  expect(sent).toEqual([])
  while (sent.length === 0) await sleep(1)
  await sleep(20)
  expect(sent).toEqual([{ ...REPLY, deadlineNs }])
})

test('no reply waits for more than a second, and none beyond its lease', () => {
  const { clock, delays } = bothSides()
  delays.setInterval(1, 10_000)
  const inMs = (ms: number) => BigInt(clock.ms + ms) * 1_000_000n
  delays.hold(1, REPLY)
  expect(delays.hold(1, { ...REPLY, deadlineNs: inMs(1_500) })).toBe(false)
  expect(delays.hold(1, { ...REPLY, deadlineNs: inMs(3_000) })).toBe(true)
  clock.ms += 1_000
  delays.setInterval(1, 0)
  expect(delays.hold(1, REPLY)).toBe(false)
})

test('one database does not delay another', () => {
  const { delays } = bothSides()
  delays.setInterval(1, 1_000)
  delays.hold(1, REPLY)
  expect(delays.hold(1, REPLY)).toBe(true)
  for (let i = 0; i < 10; i++) expect(delays.hold(2, REPLY)).toBe(false)
})

test('a reply without room to wait is sent at once', () => {
  const delays = new Delays(Delays.buffer(), () => 1_000)
  delays.setInterval(0, 100)
  // Without the other thread.
  for (let i = 0; i < 10; i++) expect(delays.hold(0, REPLY)).toBe(false)
  void new DelayedReplies(delays.buffer).serve(() => {})
  delays.hold(0, REPLY)
  let held = 0
  while (held < 1_000 && delays.hold(0, REPLY)) held++
  expect(held).toBe(256)
})
