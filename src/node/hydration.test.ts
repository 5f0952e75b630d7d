import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { SEED } from '../../test/harness/effort.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { type UploadState, uploadTransactions } from '../backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../backup/testing.ts'
import { openDataDirectory } from '../data/directory.ts'
import { toTXID } from '../ltx/format/types.ts'
import { MemoryStore } from '../objectstore/stores/memory.ts'
import { hydrateMissing } from './hydration.ts'

const ZERO: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

/** A backup of these databases, and an empty data directory. */
async function setUp(dir: string, ...names: string[]) {
  const store = new MemoryStore()
  const played = new Map<string, PlayedDatabase>()
  for (const name of names) {
    const database = new PlayedDatabase(name, seeded(SEED))
    database.commit(3)
    if (name.includes('dropped')) database.drop()
    await uploadTransactions(store, name, database, ZERO, database.position().txid)
    played.set(name, database)
  }
  const data = openDataDirectory(dir)
  const hydrate = () => hydrateMissing({ store, data, logger: pino({ level: 'silent' }), signal: undefined })
  return { data, store, played, hydrate }
}

test('what the backup has is restored; a dropped database leaves nothing on the mount, no directory either', async () => {
  using temporary = temporaryDirectory()
  const { data, played, hydrate } = await setUp(temporary.dir, 'in/a.db', 'gone/dropped.db')
  for (let start = 1; start <= 2; start++) {
    expect(await hydrate()).toEqual(new Map())
    expect(readFileSync(`${data.root}/in/a.db`).equals(played.get('in/a.db')?.image() ?? Buffer.alloc(0))).toBe(true)
    expect(existsSync(`${data.root}/gone`)).toBe(false)
  }
  data.close()
})

test('a database whose directory is a link is not restored, with the reason, and the others are', async () => {
  using temporary = temporaryDirectory()
  using outside = temporaryDirectory()
  const { data, hydrate } = await setUp(temporary.dir, 'in/a.db', 'linked/b.db')
  mkdirSync(`${outside.dir}/kept`)
  symlinkSync(`${outside.dir}/kept`, `${data.root}/linked`)
  const rejections = await hydrate()
  expect([...rejections.keys()]).toEqual(['linked/b.db'])
  expect(rejections.get('linked/b.db')).toContain('/linked is a symbolic link')
  expect(existsSync(`${outside.dir}/kept/b.db`)).toBe(false)
  expect(existsSync(`${data.root}/in/a.db`)).toBe(true)
  rmSync(`${data.root}/linked`)
  expect(await hydrate()).toEqual(new Map())
  expect(existsSync(`${data.root}/linked/b.db`)).toBe(true)
  data.close()
})

test('a database of a name that none can have is not restored, with the reason, and the others are', async () => {
  using temporary = temporaryDirectory()
  const { data, store, hydrate } = await setUp(temporary.dir, 'a.db', 'b.db')
  for await (const { key } of store.list('b.db/')) {
    await store.put(key.replace('b.db/', 'my-journal/'), await store.get(key))
  }
  const rejections = await hydrate()
  expect([...rejections.keys()]).toEqual(['my-journal'])
  expect(rejections.get('my-journal')).toMatch(/ends in "-journal".*rename its prefix/)
  expect(readdirSync(data.root).sort()).toEqual(['a.db', 'b.db'])
  data.close()
})
