import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { FollowedAlreadyError } from '../apply/positions.ts'
import { Source } from '../apply/testing.ts'
import { loadHistory } from '../backup/history/history.ts'
import { SNAPSHOT_LEVEL } from '../backup/history/layout.ts'
import { type UploadState, uploadTransactions } from '../backup/ship/upload.ts'
import { compactLevel, snapshotFromBackup } from '../backup/upkeep/compaction.ts'
import { toTXID } from '../ltx/format/types.ts'
import { DirectoryStore } from '../objectstore/directory/store.ts'
import { LinkedNameError } from '../util/files-beneath.ts'
import { BackupSource } from './backup-source.ts'
import { UnknownFileError } from './errors.ts'
import type { FollowEvent } from './events.ts'
import { Follower } from './follower.ts'
import { SourceLog } from './testing.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-follow-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const open: { close(): void }[] = []
afterEach(() => open.splice(0).forEach((one) => one.close()))
let made = 0

const NOTHING: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

/** A database with a backup, and a file that follows the backup. */
function setUp(mode = 'wal') {
  const dir = join(root, String(made++))
  const path = join(dir, 'copy.db')
  const events: FollowEvent[] = []
  const store = new DirectoryStore(join(dir, 'backup'))
  let uploaded = NOTHING
  const source = new Source(`${dir}-source.db`)
  open.push(source)
  source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v)`)
  const upload = async () => {
    const log = new SourceLog('app.db', source)
    uploaded = await uploadTransactions(store, 'app.db', log, uploaded, log.position().txid)
  }
  const follower = (reported: (event: FollowEvent) => void = () => {}) => {
    const made = new Follower({
      source: new BackupSource(store, 'app.db'),
      path,
      report: (event) => {
        events.push(event)
        reported(event)
      },
      signal: new AbortController().signal,
    })
    open.push(made)
    return made
  }
  const takeEvents = () => events.splice(0).map(({ event }) => event)
  return { dir, path, store, source, upload, follower, events, takeEvents }
}

describe.each(['wal', 'delete'])('a file that follows a backup of a database in %s mode', (mode) => {
  test('is restored, applies every new file, and continues from its position after a restart', async () => {
    const { path, source, upload, follower, takeEvents } = setUp(mode)
    await upload()
    let one = follower()
    expect(await one.pass()).toBe(true)
    expect(takeEvents()).toEqual(['restored', 'following'])
    for (let i = 0; i < 5; i++) {
      source.commit(`INSERT INTO t (v) VALUES (${i})`)
      source.commit(`INSERT INTO t (v) VALUES (hex(zeroblob(${i * 1000})))`)
      await upload()
      await one.pass()
      expect(one.position).toEqual(source.states.at(-1)?.position)
    }
    await one.pass()
    one.close()
    takeEvents()
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
    source.commit('DELETE FROM t')
    await upload()
    one = follower()
    await one.pass()
    one.close()
    expect(takeEvents()).toEqual(['following', 'applied'])
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
  })

  test('is restored again after another program wrote to it, and the old file is renamed', async () => {
    const { dir, path, source, upload, follower, takeEvents } = setUp(mode)
    await upload()
    const one = follower()
    await one.pass()
    one.close()
    const stranger = new Database(path)
    stranger.exec("INSERT INTO t (v) VALUES ('mine')")
    stranger.close()
    source.commit("INSERT INTO t (v) VALUES ('theirs')")
    await upload()
    takeEvents()
    const two = follower()
    await two.pass()
    expect(takeEvents()).toEqual(['resyncing', 'restored', 'kept'])
    two.close()
    expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
    const kept = readdirSync(dir).filter((name) => /^copy\.db\.kept-\d{8}T\d{6}Z$/.test(name))
    expect(kept).toHaveLength(1)
    const database = new Database(join(dir, kept[0] ?? ''), { readonly: true })
    expect(database.prepare('SELECT v FROM t').all()).toEqual([{ v: 'mine' }])
    database.close()
  })
})

test('compacted files continue the file, even those that begin before its position', async () => {
  const { path, store, source, upload, follower } = setUp()
  await upload()
  const one = follower()
  await one.pass()
  for (let i = 0; i < 10; i++) {
    source.commit(`INSERT INTO t (v) VALUES (${i})`)
    await upload()
    if (i === 4) await one.pass()
  }
  await compactLevel(store, 'app.db', 1)
  const level0 = (await loadHistory(store, 'app.db')).files.filter(({ level }) => level === 0)
  await store.delete(level0.map(({ key }) => key))
  await one.pass()
  expect(one.position).toEqual(source.states.at(-1)?.position)
  one.close()
  expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
})

test('a new restore replaces files that retention has removed', async () => {
  const { path, store, source, upload, follower, takeEvents } = setUp()
  await upload()
  const one = follower()
  await one.pass()
  for (let i = 0; i < 10; i++) {
    source.commit(`INSERT INTO t (v) VALUES (${i})`)
    await upload()
  }
  await snapshotFromBackup(store, 'app.db')
  const others = (await loadHistory(store, 'app.db')).files.filter(({ level }) => level !== SNAPSHOT_LEVEL)
  await store.delete(others.map(({ key }) => key))
  takeEvents()
  await one.pass()
  expect(takeEvents()).toEqual(['resyncing', 'restored', 'kept'])
  expect(one.position).toEqual(source.states.at(-1)?.position)
  source.commit('INSERT INTO t (v) VALUES (99)')
  await upload()
  await one.pass()
  one.close()
  expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
})

test('a change of the page size replaces the file; a drop renames it', async () => {
  const { dir, path, source, upload, follower, takeEvents } = setUp('delete')
  await upload()
  const one = follower()
  await one.pass()
  source.commit('PRAGMA page_size = 1024; VACUUM')
  source.commit('INSERT INTO t (v) VALUES (1)')
  await upload()
  takeEvents()
  await one.pass()
  expect(takeEvents()).toEqual(['resyncing', 'restored', 'kept'])
  one.reset()
  expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
  const live = source.states.at(-1)?.image
  source.note(Buffer.alloc(0))
  await upload()
  await one.pass()
  await one.pass()
  await one.pass()
  expect(takeEvents()).toEqual(['following', 'dropped', 'dropped'])
  expect(existsSync(path)).toBe(false)
  expect(readdirSync(dir).filter((name) => name.includes('.kept-'))).toHaveLength(2)
  source.note(live)
  await upload()
  await one.pass()
  expect(one.position).toEqual(source.states.at(-1)?.position)
  one.close()
  expect(readFileSync(path).equals(live ?? Buffer.alloc(0))).toBe(true)
})

test('a file has one follower, and a file that no follower made has none', async () => {
  const { dir, source, upload, follower, path } = setUp()
  await upload()
  const one = follower()
  await one.pass()
  await expect(follower().pass()).rejects.toBeInstanceOf(FollowedAlreadyError)
  one.close()
  rmSync(path)
  rmSync(`${path}-ltxd`)
  writeFileSync(path, 'mine')
  await expect(follower().pass()).rejects.toBeInstanceOf(UnknownFileError)
  expect(readFileSync(path, 'utf8')).toBe('mine')
  expect(readdirSync(dir).sort()).toEqual(['backup', 'copy.db'])
  expect(source.states).toHaveLength(1)
})

test('the next restore succeeds after an interrupted one', async () => {
  const { path, source, upload, follower } = setUp()
  await upload()
  writeFileSync(`${path.replace('copy.db', '')}junk`, '')
  const one = follower()
  await one.pass()
  one.close()
  // As a crash between writing the position and renaming the file leaves it.
  rmSync(path)
  writeFileSync(`${path}.ltxd-incoming`, 'half')
  const two = follower()
  await two.pass()
  two.close()
  expect(existsSync(`${path}.ltxd-incoming`)).toBe(false)
  expect(readFileSync(path).equals(source.fileBytes())).toBe(true)
})

test('a link that takes the place of the restored file is not followed', async () => {
  const { dir, path, upload, follower } = setUp()
  const outside = join(dir, 'outside')
  await upload()
  const one = follower()
  await one.pass()
  one.close()
  writeFileSync(outside, 'not ours', { mode: 0o600 })
  writeFileSync(path, 'of another history', { mode: 0o644 })
  chmodSync(path, 0o644)
  const two = follower(({ event }) => {
    if (event !== 'kept') return
    rmSync(`${path}.ltxd-incoming`)
    symlinkSync(outside, `${path}.ltxd-incoming`)
  })
  await expect(two.pass()).rejects.toBeInstanceOf(LinkedNameError)
  two.close()
  expect(readFileSync(outside, 'utf8')).toBe('not ours')
  expect(statSync(outside).mode & 0o777).toBe(0o600)
})

test('a link in the place of the file is not followed', async () => {
  const { dir, path, upload, follower } = setUp()
  const outside = join(dir, 'outside')
  await upload()
  const one = follower()
  await one.pass()
  one.close()
  rmSync(path)
  writeFileSync(outside, '', { mode: 0o600 })
  symlinkSync(outside, path)
  await expect(follower().pass()).rejects.toBeInstanceOf(LinkedNameError)
  expect(readFileSync(outside, 'utf8')).toBe('')
  expect(readdirSync(dir).filter((name) => name.startsWith('outside'))).toEqual(['outside'])
})
