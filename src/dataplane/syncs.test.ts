import fs from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { LogUnsyncedError } from '../log/errors.ts'
import type { PendingSync } from '../log/pending-sync.ts'
import { TestLog } from '../log/testing.ts'
import { nodeFiles } from '../util/files.ts'
import { FOREVER_NS } from '../util/monotonic.ts'
import { SyncRequests, Syncs, type TakenSync } from './syncs.ts'

/**
 * Two logs that are synced in turn, so that each has somebody to wait for; the other thread's part is played by the
 * test.
 */
function twoLogs() {
  const temporary = temporaryDirectory()
  onTestFinished(() => temporary[Symbol.dispose]())
  const buffer = Syncs.buffer()
  const clock = { ms: 0 }
  const disk = { fails: false }
  const syncs = new Syncs(buffer, () => clock.ms)
  const requests = new SyncRequests(buffer)
  const synced: number[] = []
  const files = {
    ...nodeFiles,
    sync(fd: number) {
      if (disk.fails) throw new Error('the disk fails')
      synced.push(fs.fstatSync(fd).ino)
      nodeFiles.sync(fd)
    },
  }
  const logs = ['a', 'b'].map((name) => new TestLog(`${temporary.dir}/${name}.ltx`, { files, syncs }))
  const [log, other] = logs as [TestLog, TestLog]
  for (const { writer } of logs) {
    log.append()
    other.append()
    writer.sync()
  }
  synced.length = 0
  /** Commits to both and begins to sync both: what is returned is the first one's. */
  const begin = (): PendingSync | undefined => {
    log.append()
    other.append()
    other.writer.beginSync()
    return log.writer.beginSync()
  }
  return { log, clock, requests, synced, begin, syncs, disk }
}

function begun(begin: () => PendingSync | undefined, requests: SyncRequests): [PendingSync, TakenSync] {
  requests.ready()
  const pending = begin()
  if (pending === undefined) throw new Error('it was synced at once')
  pending.answerTo(7, 1)
  const [taken, ...more] = requests.take()
  if (taken === undefined || more.length > 0) throw new Error('expected one request')
  return [pending, taken]
}

test('a log is synced directly while no other log is synced, or without the other thread', () => {
  const { log, clock, requests, synced, begin } = twoLogs()
  expect(begin()).toBeUndefined()
  expect(synced).toHaveLength(2)
  requests.ready()
  clock.ms += 1_000
  synced.length = 0
  for (let i = 0; i < 3; i++) {
    log.append()
    expect(log.writer.beginSync()).toBeUndefined()
  }
  expect(synced).toHaveLength(3)
  expect(requests.take()).toEqual([])
})

test('the other thread gets the descriptor and the request, and the appended bytes are durable when it is done', () => {
  const { log, requests, synced, begin } = twoLogs()
  const [pending, taken] = begun(begin, requests)
  expect([taken.uniqueLow, taken.uniqueHigh, pending.state]).toEqual([7, 1, 'running'])
  expect(fs.fstatSync(taken.fd).ino).toBe(fs.statSync(`${log.dir}/${log.segments[0]}`).ino)
  taken.ended(true)
  synced.length = 0
  log.writer.sync()
  expect(synced).toEqual([])
  log.writer.closeIdle()
  expect(() => fs.fstatSync(taken.fd)).toThrow(/EBADF/)
})

test('bytes appended during a sync do not count as durable', () => {
  const { log, requests, synced, begin } = twoLogs()
  const [, taken] = begun(begin, requests)
  log.append()
  taken.ended(true)
  log.writer.closeIdle()
  fs.fstatSync(taken.fd)
  synced.length = 0
  log.writer.sync()
  expect(synced).toHaveLength(1)
})

test('an idle log holds the descriptor open while it is synced', () => {
  const { log, requests, begin } = twoLogs()
  const [, taken] = begun(begin, requests)
  log.writer.closeIdle()
  fs.fstatSync(taken.fd)
  taken.ended(true)
  log.writer.closeIdle()
  expect(() => fs.fstatSync(taken.fd)).toThrow(/EBADF/)
})

test('after a sync that failed on the other thread a log is written anew before anything is appended', () => {
  const { log, requests, begin, disk } = twoLogs()
  const [, taken] = begun(begin, requests)
  const { position } = log
  taken.ended(false)
  const inode = () => fs.statSync(`${log.dir}/${log.segments[0]}`).ino
  const before = inode()
  disk.fails = true
  expect(() => log.append()).toThrow(LogUnsyncedError)
  expect(() => log.writer.sync()).toThrow(LogUnsyncedError)
  expect(() => log.writer.beginSync()).toThrow(LogUnsyncedError)
  expect(log.position).toEqual(position)
  disk.fails = false
  log.append()
  expect(log.position.txid).toBe(position.txid + 1n)
  expect(inode()).not.toBe(before)
})

test('no more syncs start than there are slots, and each one that ends frees a slot', () => {
  const { requests, syncs } = twoLogs()
  requests.ready()
  const begin = (fd: number) => {
    const sync = syncs.prepare(fd, 0n)
    sync?.answerTo(fd, 0)
    return sync
  }
  const begun = Array.from({ length: 100 }, (_, fd) => begin(fd)).filter((sync) => sync !== undefined)
  const taken = requests.take()
  expect(taken).toHaveLength(begun.length)
  expect(begun.length).toBeLessThan(100)
  expect(begin(1)).toBeUndefined()
  taken[5]?.ended(true)
  expect(begin(2)).toBeDefined()
  expect(begin(3)).toBeUndefined()
  expect(requests.take()).toHaveLength(1)
  // Whose slot went to another still knows how it ended.
  expect(begun.map(({ state }) => state).filter((state) => state === 'done')).toHaveLength(1)
})

test.each([0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 40n + 7n, FOREVER_NS])(
  'I6: the other thread gets the deadline %s, after which nothing may be acknowledged',
  (deadlineNs) => {
    const buffer = Syncs.buffer()
    const syncs = new Syncs(buffer, () => 0)
    const requests = new SyncRequests(buffer)
    requests.ready()
    syncs.prepare(1, deadlineNs)
    syncs.prepare(2, deadlineNs)?.answerTo(7, 1)
    expect(requests.take()[0]?.deadlineNs).toBe(deadlineNs)
  },
)
