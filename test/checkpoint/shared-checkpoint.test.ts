import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CheckpointOutcome, SharedCheckpoint } from '../../src/apply/shared-checkpoint.ts'
import { SharedDatabase } from '../../src/apply/shared-database.ts'
import { SharedWalIndex } from '../../src/apply/shared-wal-index.ts'
import { CHECKPOINT_INFO, setNativeU32 } from '../../src/sqlite/wal-index.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { digestOfFile } from '../harness/digest.ts'

/** SQLite of other processes, on a plain file system: this process must not have the file open through SQLite. */
let directory = ''
let file = ''
let writer: SqlClient
let other: SqlClient

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'ltxd-shared-checkpoint-'))
  file = path.join(directory, 'a.db')
  writer = new SqlClient(file, { timeoutMs: 5_000 })
  await writer.exec(
    'PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)',
  )
  await insert(400)
  other = new SqlClient(file)
  await other.value('SELECT count(*) FROM t')
})

afterEach(async () => {
  await writer[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

async function insert(rows: number): Promise<void> {
  const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})`
  await writer.exec(`${numbers} INSERT INTO t(b) SELECT hex(randomblob(200)) FROM n`)
}

interface Work {
  readonly run?: (work: SharedCheckpoint) => Promise<CheckpointOutcome>
  readonly makeDurable?: () => Promise<void>
  readonly isStopped?: () => boolean
  /** Is called at the last moment before writers can no longer begin the WAL anew. */
  readonly before?: () => void
}

/** As the local client does it. */
async function checkpoint({ run = (work) => work.run(), makeDurable, isStopped, before }: Work = {}) {
  const index = SharedWalIndex.take(file)
  if (index === undefined) throw new Error('the checkpoint lock is free')
  const database = SharedDatabase.open(file)
  const keepFileUnread = index.keepFileUnread.bind(index)
  index.keepFileUnread = () => {
    before?.()
    return keepFileUnread()
  }
  try {
    if (database === undefined || !index.join()) throw new Error('the database is in use')
    const options = { makeDurable: makeDurable ?? (async () => {}), isStopped: isStopped ?? (() => false) }
    const outcome = await run(new SharedCheckpoint(database, index, options))
    return { ...outcome, frames: index.header()?.maxFrame, backfilled: index.marks.backfilled() }
  } finally {
    database?.close()
    index.release()
  }
}

/** What the file holds without its WAL. */
function contentOfFile(): string {
  const copy = path.join(directory, 'copy.db')
  copyFileSync(file, copy)
  return digestOfFile(copy)
}

/** What applications see. */
async function contentForOthers(): Promise<string> {
  const copy = path.join(directory, 'vacuumed.db')
  rmSync(copy, { force: true })
  await writer.exec(`VACUUM INTO '${copy}'`)
  return digestOfFile(copy)
}

const walSalt = () => readFileSync(`${file}-wal`).readUInt32BE(16)

function poke(at: number, value: number): void {
  const bytes = new Uint8Array(4)
  setNativeU32(bytes, 0, value)
  const index = readFileSync(`${file}-shm`)
  index.set(bytes, at)
  writeFileSync(`${file}-shm`, index, { flag: 'r+' })
}

test('what is committed gets into the file, and the next writer begins the WAL anew', async () => {
  const outcome = await checkpoint()
  expect(outcome).toMatchObject({ state: 'complete', backfilled: outcome.frames })
  expect(contentOfFile()).toBe(await contentForOthers())
  const salt = walSalt()
  await insert(3)
  expect(walSalt()).not.toBe(salt)
  expect(await other.value('SELECT count(*) FROM t')).toBe(403)
  expect(await other.value('PRAGMA integrity_check')).toBe('ok')
})

test('a database that was made smaller: the file is cut', async () => {
  await writer.exec('DELETE FROM t WHERE a > 10; VACUUM')
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(statSync(file).size).toBe(Number(await other.value('PRAGMA page_count')) * 4096)
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('a reader keeps its state: only what it does not need is copied, and the rest when it has ended', async () => {
  await other.exec('BEGIN; SELECT count(*) FROM t')
  await insert(100)
  const first = await checkpoint()
  expect(first.state).toBe('behind')
  expect(first.backfilled).toBeLessThan(first.frames ?? 0)
  expect(await checkpoint()).toMatchObject({ state: 'blocked', backfilled: first.backfilled })
  expect(await other.value('SELECT count(*) FROM t')).toBe(400)
  await other.exec('COMMIT')
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(await other.value('SELECT count(*) FROM t')).toBe(500)
})

test('a reader of the file alone is not disturbed', async () => {
  await checkpoint()
  await other.exec('BEGIN')
  expect(await other.value('SELECT count(*) FROM t')).toBe(400)
  await insert(100)
  expect(await checkpoint()).toMatchObject({ state: 'blocked', pages: 0 })
  expect(await other.value('SELECT count(*) FROM t')).toBe(400)
})

test('commits during a checkpoint stay in the WAL', async () => {
  const outcome = await checkpoint({ makeDurable: () => insert(50) })
  expect(outcome).toMatchObject({ state: 'behind' })
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('a WAL that is begun anew as the checkpoint begins: what the new one holds is copied, and no more is marked (the WAL-reset bug)', async () => {
  const { frames } = await checkpoint()
  const salt = walSalt()
  const outcome = await checkpoint({
    before: () => execFileSync('sqlite3', [file, "INSERT INTO t(b) VALUES ('the first of a new generation')"]),
  })
  expect(walSalt()).not.toBe(salt)
  expect(outcome.frames).toBeLessThan(frames ?? 0)
  expect(outcome).toMatchObject({ state: 'complete', backfilled: outcome.frames })
  await insert(50)
  expect(await other.value('SELECT count(*) FROM t')).toBe(451)
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('nobody else checkpoints while the lock is held, and everybody when it is not', async () => {
  const busy = () => writer.value('PRAGMA wal_checkpoint(TRUNCATE)')
  await checkpoint({
    run: async (work) => {
      for (const kind of ['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE']) {
        expect(await writer.value(`PRAGMA wal_checkpoint(${kind})`)).toBe(1)
      }
      return work.run()
    },
  })
  expect(await busy()).toBe(0)
})

test('the last connection leaves the WAL to a checkpoint that is under way, and whoever comes next finds everything', async () => {
  await checkpoint({
    run: async (work) => {
      await writer.close()
      await other.close()
      return work.run()
    },
  })
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(0)
  expect(await other.value('SELECT count(*) FROM t')).toBe(400)
  expect(await other.value('PRAGMA integrity_check')).toBe('ok')
})

test('a checkpoint that is stopped has marked nothing as copied', async () => {
  await insert(3_000)
  const outcome = await checkpoint({ isStopped: () => true })
  expect(outcome).toMatchObject({ state: 'abandoned', backfilled: 0 })
  expect(await other.value('PRAGMA integrity_check')).toBe('ok')
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('what could not be made durable does not get into the file', async () => {
  const before = readFileSync(file)
  const failing = () => Promise.reject(new Error('the disk is gone'))
  await expect(checkpoint({ makeDurable: failing })).rejects.toThrow('the disk is gone')
  expect(readFileSync(file).equals(before)).toBe(true)
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
})

test('a restart waits for a reader that was there, and keeps writers out no longer', async () => {
  const salt = walSalt()
  const reading = other.exec('BEGIN; SELECT count(*) FROM t; COMMIT')
  expect(await checkpoint({ run: (work) => work.runAndRestart() })).toMatchObject({ state: 'complete' })
  await reading
  await insert(1)
  expect(walSalt()).not.toBe(salt)
})

test('I11: what the WAL-reset bug leaves, frames marked as copied that never were, is no ground for a checkpoint', async () => {
  const frames = (await checkpoint()).frames ?? 0
  await insert(20)
  poke(CHECKPOINT_INFO.backfilled, frames)
  const before = readFileSync(file)
  await expect(checkpoint()).rejects.toThrow(/I11: of \d+ frames of the WAL \d+ are marked as copied/)
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('I11: the same before anything was committed is undone: what is committed next is seen', async () => {
  const frames = (await checkpoint()).frames ?? 0
  await writer.exec('PRAGMA wal_checkpoint(RESTART); PRAGMA wal_checkpoint(TRUNCATE)')
  poke(CHECKPOINT_INFO.backfilled, frames)
  expect(await checkpoint()).toMatchObject({ state: 'complete', frames: 0, backfilled: 0 })
  await insert(5)
  expect(await other.value('SELECT count(*) FROM t')).toBe(405)
})

test('I11: a WAL that is not the one of its index is not copied', async () => {
  const wal = readFileSync(`${file}-wal`)
  wal.writeUInt32BE(7, 32 + 8)
  writeFileSync(`${file}-wal`, wal, { flag: 'r+' })
  const before = readFileSync(file)
  await expect(checkpoint()).rejects.toThrow(/frame 1 of the WAL is not the one that its index knows/)
  expect(readFileSync(file).equals(before)).toBe(true)
})
