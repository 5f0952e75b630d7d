/** `ltxd follow` run by root in a directory of another user, who puts files of his own where it looks. */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { positionsPath } from '../apply/positions.ts'
import { Source } from '../apply/testing.ts'
import { uploadTransactions } from '../backup/ship/upload.ts'
import { toTXID } from '../ltx/format/types.ts'
import { DirectoryStore } from '../objectstore/directory/store.ts'
import { BackupSource } from './backup-source.ts'
import { Follower } from './follower.ts'
import { SourceLog } from './testing.ts'

const OTHER = 65_534
const asRoot = test.runIf(process.geteuid?.() === 0)
let root = ''
let dir = ''
let path = ''
let source: Source
let store: DirectoryStore
let follower: Follower | undefined
let uploaded = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 } as Parameters<
  typeof uploadTransactions
>[3]

beforeEach(async () => {
  root = fs.mkdtempSync(join(tmpdir(), 'ltxd-follow-foreign-'))
  dir = join(root, 'theirs')
  path = join(dir, 'copy.db')
  fs.mkdirSync(dir)
  store = new DirectoryStore(join(root, 'backup'))
  source = new Source(join(root, 'source.db'))
  uploaded = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
  await commit('PRAGMA journal_mode = wal; CREATE TABLE t (v)')
})
afterEach(() => {
  follower?.close()
  source.close()
  fs.rmSync(root, { recursive: true, force: true })
})

async function commit(sql: string): Promise<void> {
  source.commit(sql)
  const log = new SourceLog('app.db', source)
  uploaded = await uploadTransactions(store, 'app.db', log, uploaded, log.position().txid)
}

/** What one run of `ltxd follow --once` reports. */
async function follow(): Promise<string[]> {
  const events: string[] = []
  const report = ({ event }: { event: string }) => events.push(event)
  const { signal } = new AbortController()
  follower = new Follower({ source: new BackupSource(store, 'app.db'), path, report, signal })
  await follower.pass()
  follower.close()
  return events
}

function giveAway(name: string, mode: number): void {
  fs.chownSync(name, OTHER, OTHER)
  fs.chmodSync(name, mode)
}

function expectPrivate(): void {
  const { uid, mode } = fs.statSync(path)
  expect({ uid, mode: (mode & 0o777).toString(8) }).toEqual({ uid: 0, mode: '600' })
  expect(fs.readFileSync(path).equals(source.fileBytes())).toBe(true)
}

asRoot.each([
  ['a file', 'not a database'],
  ['an empty file', ''],
])('%s that the directory’s owner puts in place of the followed one gets nothing of the database', async (_, text) => {
  await follow()
  fs.chownSync(dir, OTHER, OTHER)
  fs.rmSync(path)
  fs.writeFileSync(path, text)
  giveAway(path, 0o666)
  const held = fs.openSync(path, 'r')
  await commit("INSERT INTO t VALUES ('secret')")
  expect(await follow()).toEqual(['resyncing', 'restored', 'kept'])
  expectPrivate()
  expect(fs.readFileSync(held, 'utf8')).toBe(text)
  fs.closeSync(held)
})

asRoot('a file and a record of positions that are both another user’s are not applied to', async () => {
  await follow()
  for (const name of [dir, path, positionsPath(path)]) giveAway(name, 0o777)
  await commit("INSERT INTO t VALUES ('secret')")
  expect(await follow()).toEqual(['resyncing', 'restored', 'kept'])
  expectPrivate()
})

asRoot('a readable file of root’s that the directory’s owner moves there does not open the database', async () => {
  await follow()
  fs.chownSync(dir, OTHER, OTHER)
  fs.writeFileSync(join(dir, 'log'), 'for everybody')
  fs.chmodSync(join(dir, 'log'), 0o644)
  fs.renameSync(join(dir, 'log'), path)
  expect(await follow()).toEqual(['resyncing', 'restored', 'kept'])
  expectPrivate()
})

asRoot.each([
  ['the own directory', OTHER],
  ['the directory of another user', 0],
])('group and mode that a followed file was given in %s stay when it is restored again', async (where, uid) => {
  await follow()
  if (where !== 'the own directory') fs.chownSync(dir, OTHER, OTHER)
  fs.chownSync(path, uid, OTHER)
  fs.chmodSync(path, 0o640)
  await commit('INSERT INTO t VALUES (1)')
  expect(await follow()).toEqual(['following', 'applied'])
  // Another page size, which no transaction can bring.
  await commit('PRAGMA journal_mode = delete; PRAGMA page_size = 1024; VACUUM')
  expect(await follow()).toEqual(['following', 'resyncing', 'restored', 'kept'])
  const stats = fs.statSync(path)
  expect([stats.uid, stats.gid, stats.mode & 0o777]).toEqual([uid, OTHER, 0o640])
})

asRoot(
  'a file that was given to another user, in a directory where he may write, is not followed any more',
  async () => {
    await follow()
    fs.chownSync(dir, OTHER, OTHER)
    giveAway(path, 0o640)
    await commit("INSERT INTO t VALUES ('secret')")
    expect(await follow()).toEqual(['resyncing', 'restored', 'kept'])
    expectPrivate()
    expect(await follow()).toEqual(['following'])
  },
)
