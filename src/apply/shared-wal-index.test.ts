import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { nodeFiles } from '../util/files.ts'
import { SharedDatabase } from './shared-database.ts'
import { SharedWalIndex } from './shared-wal-index.ts'

const LOOKS = 20_000

/** Takes and releases the dead man's switch, as connections that open do, and counts how often it could not. */
const OPENER = `
  const { workerData, parentPort } = require('node:worker_threads')
  const fs = require('node:fs')
  const locks = require('fs-native-extensions')
  const fd = fs.openSync(workerData.path, 'r+')
  const ended = new Int32Array(workerData.ended)
  let refused = 0
  parentPort.postMessage('opening')
  while (Atomics.load(ended, 0) === 0) {
    if (locks.tryLock(fd, 128, 1, { shared: true })) locks.unlock(fd, 128, 1)
    else refused++
  }
  fs.closeSync(fd)
  parentPort.postMessage(refused)
`

let directory = ''
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'ltxd-shared-wal-index-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** As while a checkpoint of ltxd's is under way, the last connection leaves its files. */
function leftBehind() {
  const path = join(directory, 'a.db')
  const application = new Database(path)
  application.exec('PRAGMA journal_mode = WAL; CREATE TABLE t(a)')
  const index = SharedWalIndex.take(nodeFiles, path)
  const database = SharedDatabase.open(nodeFiles, path)
  application.close()
  return { path, index, database }
}

test('looking who has a database open locks nobody out: a connection with readonly_shm has no busy handler for that', async () => {
  const { path, index, database } = leftBehind()
  expect(index?.isInUse(), 'and it sees that nobody has').toBe(false)

  const ended = new SharedArrayBuffer(4)
  const worker = new Worker(OPENER, { eval: true, workerData: { path: `${path}-shm`, ended } })
  const next = () => new Promise((resolve) => worker.once('message', resolve))
  await next()
  const refused = next()
  for (let left = LOOKS; left > 0; left--) index?.isInUse()
  Atomics.store(new Int32Array(ended), 0, 1)
  expect(await refused).toBe(0)
  database?.close()
  index?.release()
})

test('the wal-index that a former database left is not used while the first connection to the next one is emptying it', () => {
  const { path, index, database } = leftBehind()
  expect(index?.isUsable()).toBe(true)

  const fd = openSync(`${path}-shm`, 'r+')
  const opener = new RangeLocks(fd)
  opener.exclusive(WAL_INDEX_LOCK.deadManSwitch)
  expect(index?.isUsable()).toBe(false)
  expect(SharedWalIndex.take(nodeFiles, path, 'slot')).toBeUndefined()
  ftruncateSync(fd, 3)
  opener.shared(WAL_INDEX_LOCK.deadManSwitch)
  expect(index?.isUsable()).toBe(false)
  closeSync(fd)
  database?.close()
  index?.release()
})
