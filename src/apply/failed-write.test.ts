import { execFileSync, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, expect, test } from 'vitest'
import { WAL_INDEX_HEADER_SIZE } from '../sqlite/wal-index.ts'
import type { Files } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { Applier } from './applier.ts'
import { MemoryPositions, Source } from './testing.ts'
import { bytesInMemory } from './transaction.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-failed-write-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** What another process reads: the number of rows, or SQLite's error. */
function seenBy(path: string): string {
  const program = `
    const database = new (require(process.argv[1]))(process.argv[2], { timeout: 0 })
    try { console.log(database.prepare('SELECT count(*) AS n FROM t').get().n) } catch (error) { console.log(error.code) }
  `
  const driver = createRequire(import.meta.url).resolve('better-sqlite3')
  return execFileSync(process.execPath, ['-e', program, driver, path], { encoding: 'utf8' }).trim()
}

test('I8: a change whose last step fails in rollback mode is seen by nobody, and is rolled back by the next start', () => {
  const path = join(root, 'replica.db')
  const source = new Source(join(root, 'source.db'))
  const positions = new MemoryPositions()
  const before = source.commit('CREATE TABLE t (v); INSERT INTO t VALUES (1)')
  const after = source.commit('INSERT INTO t VALUES (2)')
  if (before === undefined || after === undefined) throw new Error('a commit changes the database')
  const files: Files = filesBeneath(root)
  let isFull = false
  const failing = new Proxy(files, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key)
      if (key === 'remove' && isFull) return () => fail()
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  const applier = Applier.open(path, { positions, files: failing })
  applier.apply(bytesInMemory(before.ltx))
  expect(seenBy(path)).toBe('1')
  isFull = true
  expect(() => applier.apply(bytesInMemory(after.ltx))).toThrow('no space')
  expect(applier.status.isUsable).toBe(false)
  expect(seenBy(path)).toBe('SQLITE_BUSY')
  applier.close()
  isFull = false
  const again = Applier.open(path, { positions, files })
  expect(again.position).toEqual(before.position)
  expect(seenBy(path)).toBe('1')
  again.apply(bytesInMemory(after.ltx))
  expect(seenBy(path)).toBe('2')
  again.close()
})

/** Reads in one transaction, and anew after each line that it is sent. */
const READER = `
  const database = new (require(process.argv[1]))(process.argv[2])
  const count = () => console.log(database.prepare('SELECT count(*) AS n FROM t').get().n)
  database.exec('BEGIN')
  count()
  process.stdin.on('data', () => { database.exec('COMMIT; BEGIN'); count() })
`

test('what a writer committed to the WAL and did not publish, because it ended, is published by the next', async () => {
  const path = join(root, 'unpublished.db')
  const source = new Source(join(root, 'unpublished-source.db'))
  const positions = new MemoryPositions()
  const commit = (sql: string) => {
    const state = source.commit(sql)
    if (state === undefined) throw new Error('a commit changes the database')
    return state
  }
  const first = commit('PRAGMA journal_mode = wal; CREATE TABLE t (v); INSERT INTO t VALUES (1)')
  const applier = Applier.open(path, { positions, files: filesBeneath(root) })
  applier.apply(bytesInMemory(first.ltx))
  const driver = createRequire(import.meta.url).resolve('better-sqlite3')
  const reader = spawn(process.execPath, ['-e', READER, driver, path], { stdio: ['pipe', 'pipe', 'inherit'] })
  const seen = createInterface({ input: reader.stdout })[Symbol.asyncIterator]()
  try {
    expect((await seen.next()).value).toBe('1')
    const second = commit('INSERT INTO t VALUES (2)')
    applier.apply(bytesInMemory(second.ltx))
    const published = readFileSync(`${path}-shm`).subarray(0, 2 * WAL_INDEX_HEADER_SIZE)
    const last = [commit('INSERT INTO t VALUES (3)'), commit('INSERT INTO t VALUES (4)')]
    for (const { ltx } of last) applier.apply(bytesInMemory(ltx))
    applier.close()
    const shm = openSync(`${path}-shm`, 'r+')
    writeSync(shm, published, 0, published.length, 0)
    closeSync(shm)
    reader.stdin.write('\n')
    expect((await seen.next()).value).toBe('2')
    const again = Applier.open(path, { positions, files: filesBeneath(root) })
    expect(again.position).toEqual(last[1]?.position)
    reader.stdin.write('\n')
    expect((await seen.next()).value).toBe('4')
    const next = commit('INSERT INTO t VALUES (5)')
    again.apply(bytesInMemory(next.ltx))
    reader.stdin.write('\n')
    expect((await seen.next()).value).toBe('5')
    again.close()
  } finally {
    reader.kill('SIGKILL')
    source.close()
  }
})

function fail(): never {
  throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
}
