import fs from 'node:fs'
import { expect, onTestFinished, test, vi } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import type { SlotState } from '../dataplane/shared-state.ts'
import { logDirectory, readSynced } from '../log/store.ts'
import { PAGE_SIZE, TestLog } from '../log/testing.ts'
import type { TXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { createLogger } from '../util/log.ts'
import { LogKeeper } from './log-keeper.ts'

const AGE_MS = 60_000

/** A database whose file is complete without a WAL, its log of several segments, and its keeper with a clock of its own. */
function kept(dir: string) {
  fs.mkdirSync(`${dir}/files`)
  fs.writeFileSync(`${dir}/files/a.db`, Buffer.alloc(PAGE_SIZE))
  const log = new TestLog(logDirectory(dir, 'a.db'), { segmentSizeBytes: 1_000 })
  const clock = { nowMs: Date.now() }
  const backup: { uploaded: TXID | undefined } = { uploaded: undefined }
  const state = (): SlotState => ({
    position: log.position,
    backfilled: log.position,
    sizePages: 1,
    pageSize: PAGE_SIZE,
    journalMode: 'rollback',
    tracked: true,
    commits: 0,
    timestampMs: 0,
  })
  const keeper = new LogKeeper({
    dataDir: dir,
    root: `${dir}/files`,
    databases: () => [{ name: 'a.db', rejection: undefined, state }],
    retention: { ageMs: AGE_MS, sizeBytes: 1 << 30 },
    uploaded: () => backup.uploaded,
    logger: createLogger({ level: 'error', format: 'text' }),
    nowMs: () => clock.nowMs,
    intervalMs: 1_000_000,
  })
  return { log, keeper, clock, backup }
}

test('what is committed is made durable, and is remembered to be', async () => {
  using temporary = temporaryDirectory()
  const { log, keeper } = kept(temporary.dir)
  log.append(3)
  await keeper.tick()
  expect(readSynced(nodeFiles, log.dir)).toEqual(log.position)
  log.writer.close()
})

test('segments go when they are old, and a log that nothing happens to is not looked at before', async () => {
  using temporary = temporaryDirectory()
  const { log, keeper, clock } = kept(temporary.dir)
  log.append(20)
  const all = log.segments.length
  expect(all).toBeGreaterThan(3)
  await keeper.tick()
  const list = vi.spyOn(nodeFiles, 'list')
  onTestFinished(() => list.mockRestore())
  for (let round = 0; round < 10; round++) await keeper.tick()
  expect(list).not.toHaveBeenCalled()
  expect(log.segments).toHaveLength(all)
  clock.nowMs += 2 * AGE_MS
  await keeper.tick()
  expect(log.segments).toHaveLength(1)
  list.mockClear()
  clock.nowMs += 2 * AGE_MS
  for (let round = 0; round < 10; round++) await keeper.tick()
  expect(list).not.toHaveBeenCalled()
  log.writer.close()
})

test('old segments wait for the backup, and go as soon as it has them', async () => {
  using temporary = temporaryDirectory()
  const { log, keeper, clock, backup } = kept(temporary.dir)
  backup.uploaded = 0n as TXID
  log.append(20)
  const all = log.segments.length
  clock.nowMs += 2 * AGE_MS
  await keeper.tick()
  expect(log.segments).toHaveLength(all)
  backup.uploaded = log.position.txid
  await keeper.tick()
  expect(log.segments).toHaveLength(1)
  log.writer.close()
})
