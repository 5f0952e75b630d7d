import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type { Checksum } from '../ltx/format/types.ts'
import { toTXID } from '../ltx/format/types.ts'
import type { SlotState } from './shared-slot.ts'
import { SharedState } from './shared-state.ts'

const state = (n: number): SlotState => ({
  position: { txid: toTXID(n), checksum: ((1n << 63n) | BigInt(n)) as Checksum },
  sizePages: n,
  pageSize: 4096,
  journalMode: n % 2 === 0 ? 'wal' : 'rollback',
  encrypted: n % 5 === 0,
  tracked: n % 3 === 0,
  backfilled: { txid: toTXID(n), checksum: ((1n << 63n) | BigInt(n)) as Checksum },
  commits: n,
  timestampMs: n,
})

test('a slot is read as it was published, whatever the other slots hold', () => {
  const shared = new SharedState()
  const slots = [0, 1, 2, SharedState.maxDatabases - 1]
  for (const slot of slots) shared.publish(slot, state(slot + 7))
  const other = new SharedState(shared.buffer)
  for (const slot of slots) expect(other.read(slot)).toEqual(state(slot + 7))
})

test('an unpublished slot is an empty database', () => {
  expect(new SharedState().read(5)).toMatchObject({ position: { txid: 0n }, sizePages: 0, tracked: false })
})

test('a wait for a change ends at once when the change came before it', async () => {
  const shared = new SharedState()
  const seen = shared.changes
  shared.publish(0, state(1))
  await shared.waitForChange(seen, 60_000)
  expect(shared.changes).not.toBe(seen)
})

test('a wait for a change ends with the change', async () => {
  const shared = new SharedState()
  const waiting = shared.waitForChange(shared.changes, 60_000)
  shared.publish(0, state(1))
  await waiting
})

test('a wait for a change times out', async () => {
  const shared = new SharedState()
  await shared.waitForChange(shared.changes, 20)
})

test('the other side sees a requested stop', () => {
  const shared = new SharedState()
  const other = new SharedState(shared.buffer)
  expect(other.stopRequested).toBe(false)
  shared.requestStop()
  expect(other.stopRequested).toBe(true)
})

/** The writer's protocol, as the data plane's thread follows it, in a thread that publishes as fast as it can. */
const WRITER = `
  const { workerData, parentPort } = require('node:worker_threads')
  const words = new BigUint64Array(workerData.buffer, workerData.offset, 12)
  parentPort.postMessage('writing')
  for (let n = 1n; n <= 400000n; n++) {
    const version = Atomics.load(words, 0)
    Atomics.store(words, 0, version + 1n)
    for (let i = 1; i < 12; i++) words[i] = n
    Atomics.store(words, 0, version + 2n)
  }
`

test('a slot is never read half written, however fast it changes', async () => {
  const shared = new SharedState()
  shared.publish(0, state(1))
  const offset = Array.from({ length: 64 }, (_, i) => i * 8).find(
    (at) => new BigUint64Array(shared.buffer, at, 2)[1] === 1n && new BigUint64Array(shared.buffer, at, 2)[0] === 2n,
  )
  const worker = new Worker(WRITER, { eval: true, workerData: { buffer: shared.buffer, offset } })
  await new Promise((resolve) => worker.once('message', resolve))
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  let last = 0n
  let running = true
  void ended.then(() => (running = false))
  while (running) {
    for (let i = 0; i < 5_000; i++) {
      const { position, sizePages, commits, timestampMs } = shared.read(0)
      if (
        BigInt(sizePages) !== position.txid ||
        BigInt(commits) !== position.txid ||
        BigInt(timestampMs) !== position.txid
      ) {
        expect({ position, sizePages, commits, timestampMs }).toBe('one state')
      }
      expect(position.txid >= last).toBe(true)
      last = position.txid
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(last).toBeGreaterThan(0n)
})

test('a fence waits for the commit that is under way, and for no later one', async () => {
  const shared = new SharedState()
  expect(await shared.commitEnded(60_000)).toBe(true)
  shared.beginCommit()
  expect(await shared.commitEnded(20)).toBe(false)
  const ended = shared.commitEnded(60_000)
  shared.endCommit()
  shared.beginCommit()
  expect(await ended).toBe(true)
})

test('a slot whose publication fails can be read: it says what it said before', () => {
  const shared = new SharedState()
  shared.publish(0, state(1))
  for (const broken of [{ timestampMs: NaN }, { sizePages: 1.5 }, { position: undefined }])
    expect(() => shared.publish(0, { ...state(2), ...broken } as SlotState)).toThrow()
  expect(shared.read(0)).toEqual(state(1))
})
