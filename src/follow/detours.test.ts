import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Source } from '../apply/testing.ts'
import { loadHistory } from '../backup/history/history.ts'
import { type UploadState, uploadTransactions } from '../backup/ship/upload.ts'
import { compactLevel, snapshotFromBackup } from '../backup/upkeep/compaction.ts'
import { toTXID } from '../ltx/format/types.ts'
import { DirectoryStore } from '../objectstore/directory/store.ts'
import { BackupSource } from './backup-source.ts'
import type { FollowEvent } from './events.ts'
import { Follower } from './follower.ts'
import { SourceLog } from './testing.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-detours-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const NOTHING: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
let made = 0

/** A followed file of two transactions, and a backup that has gone on in four objects of level 0. */
async function goneOn() {
  const dir = join(root, String(made++))
  const store = new DirectoryStore(join(dir, 'backup'))
  const source = new Source(`${dir}-source.db`)
  let uploaded = NOTHING
  const commit = async (sql: string) => {
    source.commit(sql)
    const log = new SourceLog('app.db', source)
    uploaded = await uploadTransactions(store, 'app.db', log, uploaded, log.position().txid)
  }
  await commit('PRAGMA journal_mode = wal; CREATE TABLE t (v)')
  const events: FollowEvent[] = []
  const follower = new Follower({
    source: new BackupSource(store, 'app.db'),
    path: join(dir, 'copy.db'),
    report: (event) => events.push(event),
    signal: new AbortController().signal,
  })
  await follower.pass()
  for (let i = 0; i < 4; i++) await commit(`INSERT INTO t VALUES (${i})`)
  return { dir, store, source, commit, follower, events, close: () => [follower, source].forEach((it) => it.close()) }
}

async function flip({ dir, store }: { dir: string; store: DirectoryStore }, level: number, last: number) {
  const files = (await loadHistory(store, 'app.db')).files.filter((file) => file.level === level)
  const { key } = files.at(last)
  const path = join(dir, 'backup', key)
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1]! ^= 0x10
  writeFileSync(path, bytes)
  return key
}

test('a followed file goes round a damaged object where another level holds its transactions, and says so', async () => {
  const one = await goneOn()
  await compactLevel(one.store, 'app.db', 1)
  const key = await flip(one, 1, -1)
  expect(await one.follower.pass()).toBe(true)
  expect(one.follower.position).toEqual(one.source.states.at(-1)?.position)
  expect(one.events).toContainEqual(expect.objectContaining({ event: 'avoided', key }))
  expect(one.events.filter(({ event }) => event === 'resyncing')).toEqual([])
  one.close()
})

test('a followed file goes round a damaged object by a snapshot behind it', async () => {
  const one = await goneOn()
  await snapshotFromBackup(one.store, 'app.db')
  const key = await flip(one, 0, -2)
  expect(await one.follower.pass()).toBe(true)
  expect(one.follower.position).toEqual(one.source.states.at(-1)?.position)
  expect(one.events).toContainEqual(expect.objectContaining({ event: 'avoided', key }))
  one.close()
})

test.each([-1, -2])(
  'a followed file with no way round object %i names it, and goes on when there is one',
  async (at) => {
    const one = await goneOn()
    const key = await flip(one, 0, at)
    for (let pass = 0; pass < 2; pass++) {
      await expect(one.follower.pass()).rejects.toMatchObject({ code: 'BACKUP_OBJECT_CORRUPT', key })
    }
    const whole = join(one.dir, 'backup', key)
    const bytes = readFileSync(whole)
    bytes[bytes.length >> 1]! ^= 0x10
    writeFileSync(whole, bytes)
    await one.commit('INSERT INTO t VALUES (9)')
    expect(await one.follower.pass()).toBe(true)
    expect(one.follower.position).toEqual(one.source.states.at(-1)?.position)
    one.close()
  },
)
