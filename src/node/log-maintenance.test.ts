import fs from 'node:fs'
import { expect, onTestFinished, test, vi } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import type { SlotState } from '../dataplane/shared-slot.ts'
import { logDirectory, readSynced } from '../log/store.ts'
import { PAGE_SIZE, TestLog } from '../log/testing.ts'
import type { TXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { createLogger } from '../util/log.ts'
import { LogMaintenance } from './log-maintenance.ts'

const AGE_MS = 60_000

/**
 * A database in rollback mode, its log of several segments, and the maintenance of that log with a clock of its own.
 */
function maintained(dir: string) {
  fs.mkdirSync(`${dir}/files`)
  fs.writeFileSync(`${dir}/files/a.db`, Buffer.alloc(PAGE_SIZE))
  const log = new TestLog(logDirectory(dir, 'a.db'), { segmentSizeBytes: 1_000 })
  const clock = { nowMs: Date.now() }
  const backup: { uploaded: TXID | undefined } = { uploaded: undefined }
  const lines: string[] = []
  const state = (): SlotState => ({
    position: log.position,
    backfilled: log.position,
    sizePages: 1,
    pageSize: PAGE_SIZE,
    journalMode: 'rollback',
    encrypted: false,
    tracked: true,
    commits: 0,
    timestampMs: 0,
  })
  const maintenance = new LogMaintenance({
    dataDir: dir,
    root: `${dir}/files`,
    files: filesBeneath(dir),
    databases: () => [{ name: 'a.db', rejection: undefined, state }],
    retention: { ageMs: AGE_MS, sizeBytes: 1 << 30 },
    uploaded: () => backup.uploaded,
    checked: () => undefined,
    logger: createLogger({ level: 'error', format: 'text', write: (line) => lines.push(line) }),
    nowMs: () => clock.nowMs,
    intervalMs: 1_000_000,
  })
  return { log, maintenance, clock, backup, lines }
}

test('committed transactions become durable, and the synced position is recorded', async () => {
  using temporary = temporaryDirectory()
  const { log, maintenance } = maintained(temporary.dir)
  log.append(3)
  await maintenance.tick()
  expect(readSynced(nodeFiles, log.dir)).toEqual(log.position)
  log.writer.close()
})

test('old segments are removed, and an idle log is not read before that', async () => {
  using temporary = temporaryDirectory()
  const { log, maintenance, clock } = maintained(temporary.dir)
  log.append(20)
  const all = log.segments.length
  expect(all).toBeGreaterThan(3)
  await maintenance.tick()
  const list = vi.spyOn(nodeFiles, 'list')
  onTestFinished(() => list.mockRestore())
  for (let round = 0; round < 10; round++) await maintenance.tick()
  expect(list).not.toHaveBeenCalled()
  expect(log.segments).toHaveLength(all)
  clock.nowMs += 2 * AGE_MS
  await maintenance.tick()
  expect(log.segments).toHaveLength(1)
  list.mockClear()
  clock.nowMs += 2 * AGE_MS
  for (let round = 0; round < 10; round++) await maintenance.tick()
  expect(list).not.toHaveBeenCalled()
  log.writer.close()
})

test('old segments wait for the backup, and are removed as soon as it has them', async () => {
  using temporary = temporaryDirectory()
  const { log, maintenance, clock, backup } = maintained(temporary.dir)
  backup.uploaded = 0n as TXID
  log.append(20)
  const all = log.segments.length
  clock.nowMs += 2 * AGE_MS
  await maintenance.tick()
  expect(log.segments).toHaveLength(all)
  backup.uploaded = log.position.txid
  await maintenance.tick()
  expect(log.segments).toHaveLength(1)
  log.writer.close()
})

test('what fails at each round is logged once a minute', async () => {
  using temporary = temporaryDirectory()
  const { log, maintenance, clock, lines } = maintained(temporary.dir)
  log.append(3)
  fs.mkdirSync(`${temporary.dir}/files/a.db-wal`)
  for (let second = 0; second <= 90; second += 2, clock.nowMs += 2_000) await maintenance.tick()
  expect(lines).toHaveLength(2)
  expect(lines[0]).toContain('a.db-wal is a directory')
  log.writer.close()
})
