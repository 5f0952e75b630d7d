import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CheckpointOutcome, SharedCheckpoint } from '../../src/apply/shared-checkpoint.ts'
import { SharedDatabase } from '../../src/apply/shared-database.ts'
import { SharedWalIndex } from '../../src/apply/shared-wal-index.ts'
import { CHECKPOINT_INFO, setNativeU32 } from '../../src/sqlite/wal-index.ts'
import { nodeFiles } from '../../src/util/files.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { digestOfFile } from '../harness/digest.ts'

/** Other processes use the file through SQLite, on a plain file system. This process must not open it with SQLite. */
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
  /** Called just before writers can no longer reset the WAL. */
  readonly before?: () => void
}

/** A checkpoint as the local client makes it. */
async function checkpoint({ run = (work) => work.run(), makeDurable, isStopped, before }: Work = {}) {
  const index = SharedWalIndex.take(nodeFiles, file)
  if (index === undefined) throw new Error('the checkpoint lock is free')
  const database = SharedDatabase.open(nodeFiles, file)
  const lockFileReads = index.lockFileReads.bind(index)
  index.lockFileReads = () => {
    before?.()
    return lockFileReads()
  }
  try {
    if (database === undefined || !index.isInUse()) throw new Error('the database is in use')
    const options = { makeDurable: makeDurable ?? (async () => {}), isStopped: isStopped ?? (() => false) }
    const outcome = await run(new SharedCheckpoint(database, index, options))
    return { ...outcome, frames: index.header()?.maxFrame, backfilled: index.marks.backfilled() }
  } finally {
    database?.close()
    index.release()
  }
}

/** The digest of the database file without its WAL. */
function contentOfFile(): string {
  const copy = path.join(directory, 'copy.db')
  copyFileSync(file, copy)
  return digestOfFile(copy)
}

/** The digest of the database as applications see it. */
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

test('a checkpoint copies every committed page into the file, and the next writer resets the WAL', async () => {
  const outcome = await checkpoint()
  expect(outcome).toMatchObject({ state: 'complete', backfilled: outcome.frames })
  expect(contentOfFile()).toBe(await contentForOthers())
  const salt = walSalt()
  await insert(3)
  expect(walSalt()).not.toBe(salt)
  expect(await other.value('SELECT count(*) FROM t')).toBe(403)
  expect(await other.value('PRAGMA integrity_check')).toBe('ok')
})

test('a checkpoint truncates the file of a database that has shrunk', async () => {
  await writer.exec('DELETE FROM t WHERE a > 10; VACUUM')
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(statSync(file).size).toBe(Number(await other.value('PRAGMA page_count')) * 4096)
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('a checkpoint copies no page beyond an open reader’s state until the reader has ended', async () => {
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

test('a checkpoint does not disturb a reader that uses no frame of the WAL', async () => {
  await checkpoint()
  await other.exec('BEGIN')
  expect(await other.value('SELECT count(*) FROM t')).toBe(400)
  await insert(100)
  expect(await checkpoint()).toMatchObject({ state: 'blocked', pages: 0 })
  expect(await other.value('SELECT count(*) FROM t')).toBe(400)
})

test('a checkpoint leaves commits during the checkpoint in the WAL', async () => {
  const outcome = await checkpoint({ makeDurable: () => insert(50) })
  expect(outcome).toMatchObject({ state: 'behind' })
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('a WAL that is reset as a checkpoint begins: only its new frames are copied and marked (the WAL-reset bug)', async () => {
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

test('no other connection can checkpoint while the lock is held, and any can afterwards', async () => {
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

test('while the unused read mark is held, others checkpoint, and no writer begins the WAL anew (the WAL-reset bug)', async () => {
  const index = SharedWalIndex.take(nodeFiles, file, 'slot')
  try {
    for (const kind of ['PASSIVE', 'FULL']) {
      await insert(1)
      const salt = walSalt()
      const [[busy, frames, copied] = []] = await writer.all(`PRAGMA wal_checkpoint(${kind})`)
      expect([busy, copied]).toEqual([0, frames])
      expect(contentOfFile()).toBe(await contentForOthers())
      for (let i = 0; i < 5; i++) execFileSync('sqlite3', [file, "INSERT INTO t(b) VALUES ('another')"])
      expect(walSalt()).toBe(salt)
    }
    expect(await writer.value('PRAGMA wal_checkpoint(PASSIVE)')).toBe(0)
    const salt = walSalt()
    index?.guardBy('restart')
    for (let i = 0; i < 5; i++) execFileSync('sqlite3', [file, "INSERT INTO t(b) VALUES ('another')"])
    expect(walSalt(), 'nor while a restart is let through').toBe(salt)
    index?.guardBy('slot')
    expect(await writer.value('PRAGMA wal_checkpoint(FULL)')).toBe(0)
    index?.guardBy('restart')
    expect(await writer.value('PRAGMA wal_checkpoint(TRUNCATE)')).toBe(0)
    expect(statSync(`${file}-wal`).size).toBe(0)
    expect(await other.value('PRAGMA integrity_check')).toBe('ok')
  } finally {
    index?.release()
  }
})

test('the mark is set again where a connection that was alone has rebuilt the wal-index', async () => {
  const index = SharedWalIndex.take(nodeFiles, file, 'slot')
  try {
    poke(CHECKPOINT_INFO.readMarks + 4 * 4, 0)
    expect(index?.keepsMark()).toBe(true)
    expect(await writer.value('PRAGMA wal_checkpoint(FULL)')).toBe(0)
    expect(contentOfFile()).toBe(await contentForOthers())
    const salt = walSalt()
    execFileSync('sqlite3', [file, "INSERT INTO t(b) VALUES ('another')"])
    expect(walSalt()).toBe(salt)
  } finally {
    index?.release()
  }
})

test('a restart of this process leaves an empty WAL to the next writer, and needs that nobody reads or writes', async () => {
  await checkpoint()
  const index = SharedWalIndex.take(nodeFiles, file)
  try {
    await other.exec('BEGIN; SELECT count(*) FROM t')
    expect(index?.restart(), 'that read transaction may still write').toBe(false)
    await other.exec('COMMIT')
    const salt = walSalt()
    expect(index?.restart()).toBe(true)
    await other.exec('BEGIN; SELECT count(*) FROM t')
    await insert(3)
    expect(walSalt()).not.toBe(salt)
    expect(await other.value('SELECT count(*) FROM t')).toBe(400)
    await other.exec('COMMIT')
    expect(index?.restart(), 'the frames are not in the file').toBe(false)
    expect(await other.value('PRAGMA integrity_check')).toBe('ok')
  } finally {
    index?.release()
  }
})

test('the last connection to close leaves the WAL to a running checkpoint, and the next one sees every commit', async () => {
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

test('a stopped checkpoint marks no frame as copied', async () => {
  await insert(3_000)
  const outcome = await checkpoint({ isStopped: () => true })
  expect(outcome).toMatchObject({ state: 'abandoned', backfilled: 0 })
  expect(await other.value('PRAGMA integrity_check')).toBe('ok')
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
  expect(contentOfFile()).toBe(await contentForOthers())
})

test('a checkpoint copies nothing into the file if the log cannot be made durable', async () => {
  const before = readFileSync(file)
  const failing = () => Promise.reject(new Error('the disk is gone'))
  await expect(checkpoint({ makeDurable: failing })).rejects.toThrow('the disk is gone')
  expect(readFileSync(file).equals(before)).toBe(true)
  expect(await checkpoint()).toMatchObject({ state: 'complete' })
})

test('a restart waits for a reader that is already open, and blocks writers only until that reader ends', async () => {
  const salt = walSalt()
  const reading = other.exec('BEGIN; SELECT count(*) FROM t; COMMIT')
  expect(await checkpoint({ run: (work) => work.runAndRestart() })).toMatchObject({ state: 'complete' })
  await reading
  await insert(1)
  expect(walSalt()).not.toBe(salt)
})

test('I11: a checkpoint stops if frames are marked as copied that never were, as the WAL-reset bug leaves them', async () => {
  const frames = (await checkpoint()).frames ?? 0
  await insert(20)
  poke(CHECKPOINT_INFO.backfilled, frames)
  const before = readFileSync(file)
  await expect(checkpoint()).rejects.toThrow(/I11: the WAL has \d+ frames, but \d+ are marked as copied/)
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('I11: in an empty WAL such a mark is cleared, and the next commits are seen', async () => {
  const frames = (await checkpoint()).frames ?? 0
  await writer.exec('PRAGMA wal_checkpoint(RESTART); PRAGMA wal_checkpoint(TRUNCATE)')
  poke(CHECKPOINT_INFO.backfilled, frames)
  expect(await checkpoint()).toMatchObject({ state: 'complete', frames: 0, backfilled: 0 })
  await insert(5)
  expect(await other.value('SELECT count(*) FROM t')).toBe(405)
})

test('I11: a checkpoint stops if the frames are not those of the wal-index', async () => {
  const wal = readFileSync(`${file}-wal`)
  wal.writeUInt32BE(7, 32 + 8)
  writeFileSync(`${file}-wal`, wal, { flag: 'r+' })
  const before = readFileSync(file)
  await expect(checkpoint()).rejects.toThrow(/frame 1 of the WAL is not the one that its index lists/)
  expect(readFileSync(file).equals(before)).toBe(true)
})
