import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { createInterface } from 'node:readline'
import Sqlite from 'better-sqlite3'
import { afterEach, expect, test, vi } from 'vitest'
import { SharedDatabase } from '../../src/apply/shared-database.ts'
import { LogReader } from '../../src/log/reader.ts'
import { ZERO_POSITION } from '../../src/log/store.ts'
import { CHECKPOINT_FRAMES, Checkpointer } from '../../src/replica/client/checkpointer.ts'
import { filesBeneath } from '../../src/util/files-beneath.ts'
import { temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { until } from '../harness/wait.ts'

/**
 * An application that closes its connection when the test creates `go`. The test waits for it in a busy loop, so that
 * nothing else in this process runs meanwhile.
 */
const APPLICATION = `
import os, sqlite3, sys, time
directory = sys.argv[1]
c = sqlite3.connect(directory + '/a.db', isolation_level=None)
c.execute('PRAGMA journal_mode = WAL'); c.execute('PRAGMA wal_autocheckpoint = 0'); c.execute('PRAGMA synchronous = OFF')
c.execute('CREATE TABLE t(x)')
for i in range(${CHECKPOINT_FRAMES}): c.execute('INSERT INTO t VALUES (?)', (i,))
print('ready', flush=True)
while not os.path.exists(directory + '/go'): time.sleep(0.001)
c.close()
open(directory + '/closed', 'w')`

afterEach(() => vi.restoreAllMocks())

/** Lets the application close its connection as a checkpoint begins, and returns once its WAL is gone. */
async function closed(dir: string): Promise<void> {
  const application = spawn('python3', ['-c', APPLICATION, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(createInterface({ input: application.stdout }), 'line')
  const open = SharedDatabase.open.bind(SharedDatabase)
  vi.spyOn(SharedDatabase, 'open').mockImplementation((files, path) => {
    const database = open(files, path)
    fs.writeFileSync(`${dir}/go`, '')
    while (!fs.existsSync(`${dir}/closed`));
    return database
  })
  fs.mkdirSync(`${dir}/log`)
  const said: unknown[] = []
  const checkpointer = new Checkpointer(
    filesBeneath(dir),
    filesBeneath(dir),
    () => {},
    (message) => said.push(message),
  )
  checkpointer.guard({ type: 'guard', database: 'a.db', logDir: `${dir}/log`, hasSeveralWriters: false })
  try {
    await until('the WAL to go', 60_000, () => fs.existsSync(`${dir}/closed`) && !fs.existsSync(`${dir}/a.db-wal`))
  } finally {
    checkpointer.leave('a.db')
    application.kill('SIGKILL')
  }
  expect(fs.existsSync(`${dir}/a.db-shm`)).toBe(false)
  expect(said).not.toContainEqual(expect.objectContaining({ type: 'checkpoint-failed' }))
}

/** What a program without a busy timeout gets that opens the database and reads it. */
async function read(dir: string): Promise<string> {
  const program = spawn('sqlite3', [`${dir}/a.db`, 'SELECT count(*) FROM t'])
  const said: Buffer[] = []
  for (const stream of [program.stdout, program.stderr]) stream.on('data', (bytes: Buffer) => said.push(bytes))
  await once(program, 'close')
  return Buffer.concat(said).toString().trim()
}

/** A connection that opens the database and finds no other cuts the wal-index to three bytes, to fill it anew. */
const isIndexEmpty = (dir: string) =>
  fs
    .readFileSync(`${dir}/a.db-shm`)
    .subarray(3, 96)
    .every((byte) => byte === 0)

test('a last connection that closes as a checkpoint begins leaves no WAL behind', async () => {
  using temporary = temporaryDirectory()
  const { dir } = temporary
  await closed(dir)
  const file = new Sqlite(`${dir}/a.db`)
  expect(file.prepare('SELECT count(*) FROM t').pluck().get()).toBe(CHECKPOINT_FRAMES)
  expect(file.pragma('integrity_check', { simple: true })).toBe('ok')
  file.close()
})

test('a program that opens the database while ltxd copies a WAL that the last connection left is never locked out', async () => {
  using temporary = temporaryDirectory()
  const { dir } = temporary
  let reading: Promise<string> | undefined
  vi.spyOn(LogReader.prototype, 'sync').mockImplementation(async function () {
    reading ??= read(dir)
    await Promise.race([reading, until('the program to find the WAL', 60_000, () => isIndexEmpty(dir))])
    return ZERO_POSITION
  })
  await closed(dir)
  expect(await reading).toBe(`${CHECKPOINT_FRAMES}`)
})
