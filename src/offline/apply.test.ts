import { mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encode } from '../ltx/file.ts'
import { toTXID } from '../ltx/format/types.ts'
import { databaseChecksum, header } from '../ltx/testing.ts'
import { applyToExisting, applyToNew } from './apply.ts'
import { findFiles } from './ltx-file.ts'

const PAGE_SIZE = 4096

let dir: string
let database: string
let files: string[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ltxd-'))
  database = join(dir, 'app.db')
  const db = new Database(database)
  db.exec('CREATE TABLE t (v)')
  const snapshot = readFileSync(database)
  db.exec('INSERT INTO t VALUES (1)')
  db.close()
  const changed = readFileSync(database)
  writeFileSync(database, snapshot)
  const [before, after] = [pagesOf(snapshot), pagesOf(changed)]
  const checksum = databaseChecksum(before)
  const fields = { pageSize: PAGE_SIZE, commit: before.length }
  files = [
    encode(header({ ...fields, minTXID: toTXID(1), preApplyChecksum: 0n }), before, checksum),
    encode(header({ ...fields, minTXID: toTXID(2), preApplyChecksum: checksum }), after, databaseChecksum(after)),
  ].map((bytes, n) => {
    const path = join(dir, `${n + 1}.ltx`)
    writeFileSync(path, bytes)
    return path
  })
})

afterEach(() => rmSync(dir, { recursive: true }))

function pagesOf(image: Uint8Array): [number, Uint8Array][] {
  const count = image.length / PAGE_SIZE
  return Array.from({ length: count }, (_, i) => [i + 1, image.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE)])
}

/** Aborts the work once this many bytes have been read. */
async function interruptedAfter(paths: readonly string[], bytes: number) {
  const controller = new AbortController()
  const reason = new Error('interrupted')
  const progress = (done: number) => {
    if (done >= bytes) controller.abort(reason)
  }
  return { files: await findFiles(paths, { signal: controller.signal, progress }), signal: controller.signal }
}

test('an interruption between two files leaves the database unchanged and creates no new one', async () => {
  const image = readFileSync(database)
  const names = readdirSync(dir)
  for (const target of ['new', 'existing'] as const) {
    const { files: inputs, signal } = await interruptedAfter(files, 1)
    const work =
      target === 'new'
        ? applyToNew(join(dir, 'new.db'), inputs, signal)
        : applyToExisting(database, inputs, { replace: true, signal })
    await expect(work).rejects.toThrow('interrupted')
    expect(readFileSync(database).equals(image)).toBe(true)
    expect(readdirSync(dir)).toEqual(names)
  }
})

test('the reported checksum is the database’s, and the last file confirms it', async () => {
  const result = await applyToExisting(database, await findFiles(files.slice(1)))
  expect(result).toMatchObject({ verified: true, checksum: databaseChecksum(pagesOf(readFileSync(database))) })
  const db = new Database(database, { readonly: true })
  expect(db.prepare('SELECT v FROM t').pluck().get()).toBe(1)
  db.close()
})

test('a snapshot that may replace a database can change its page size', async () => {
  const other = join(dir, 'other.db')
  const db = new Database(other)
  db.pragma('page_size = 1024')
  db.pragma('journal_mode = wal')
  db.exec('CREATE TABLE other (v)')
  db.close()
  await expect(applyToExisting(other, await findFiles(files))).rejects.toMatchObject({ code: 'REPLACES_DATABASE' })
  await applyToExisting(other, await findFiles(files), { replace: true })
  await applyToNew(join(dir, 'new.db'), await findFiles(files))
  expect(readFileSync(other).equals(readFileSync(join(dir, 'new.db')))).toBe(true)
  expect(readdirSync(dir).filter((name) => name.startsWith('other'))).toEqual(['other.db'])
})

test('in a directory of another user, no temporary file has a name that could be replaced by a link', async () => {
  const names = new Set<string>()
  const watcher = watch(dir, (_event, name) => names.add(String(name)))
  try {
    await applyToExisting(database, await findFiles(files), { replace: true })
    writeFileSync(join(dir, 'end'), '')
    await expect.poll(() => names.has('end')).toBe(true)
  } finally {
    watcher.close()
  }
  // inotify calls a file without a name by its inode.
  expect([...names].filter((name) => !/^(#\d+|app\.db(-journal|-wal|-shm)?|end)$/.test(name))).toEqual([])
})
