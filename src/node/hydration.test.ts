import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { SEED } from '../../test/harness/effort.ts'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { loadHistory } from '../backup/history/history.ts'
import { fileKey } from '../backup/history/layout.ts'
import { NEWEST, planRestore } from '../backup/history/plan.ts'
import { type UploadState, uploadTransactions } from '../backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../backup/testing.ts'
import { snapshotFromBackup } from '../backup/upkeep/compaction.ts'
import { openDataDirectory } from '../data/directory.ts'
import { Owners } from '../data/owners.ts'
import { droppedAt, noteDropped } from '../log/dropped.ts'
import { logDirectory } from '../log/store.ts'
import { encode } from '../ltx/file.ts'
import { toTXID } from '../ltx/format/types.ts'
import { MetadataUnreadableError, StoreUnavailableError } from '../objectstore/errors.ts'
import { MemoryStore } from '../objectstore/stores/memory.ts'
import { createLogger } from '../util/log.ts'
import { formatOwner, type Owner, parseOwner } from '../util/owner.ts'
import { hydrateMissing, isIncomplete } from './hydration.ts'

const logger = pino({ level: 'silent' })
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
  const owners = new Owners({ ...data, override: {}, logger })
  const hydrate = (write?: (line: string) => void) => {
    const heard = write === undefined ? logger : createLogger({ level: 'info', format: 'json', write })
    return hydrateMissing({ store, data, owners, logger: heard, signal: undefined })
  }
  return { data, store, owners, played, hydrate }
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

test('a database that was dropped in the backup is no database after a start, and is not restored when its drop is known here', async () => {
  using temporary = temporaryDirectory()
  const { data, played, hydrate } = await setUp(temporary.dir, 'dropped.db', 'live.db')
  await hydrate()
  const { txid } = played.get('dropped.db')?.position() ?? {}
  const node = new InProcessNode({ dataDir: temporary.dir })
  expect(node.complaints()).toEqual([])
  expect(node.position('dropped.db').txid).toBe(txid)
  const live = played.get('live.db')?.position()
  node.mount.unlink('live.db')
  await noteDropped(data.files, logDirectory(data.dir, 'live.db'), node.position('live.db'))
  node.volume.release('live.db', node.position('live.db').txid)
  node.leave()
  const noted = statSync(`${logDirectory(data.dir, 'dropped.db')}/base.json`).ino
  expect(await hydrate()).toEqual(new Map())
  expect(statSync(`${logDirectory(data.dir, 'dropped.db')}/base.json`).ino).toBe(noted)
  expect(existsSync(`${data.root}/live.db`)).toBe(false)
  expect(droppedAt(data.files, logDirectory(data.dir, 'live.db'))?.txid).toBe((live?.txid ?? 0n) + 1n)
  data.close()
})

test('a start that could not restore all databases is remembered until one has', async () => {
  using temporary = temporaryDirectory()
  const { data, store, hydrate } = await setUp(temporary.dir, 'a.db', 'b.db')
  const get = store.get.bind(store)
  const cut =
    (isCut: (key: string) => boolean) =>
    (key: string, ...rest: unknown[]) => {
      if (isCut(key)) throw new StoreUnavailableError(store.url, `read object ${key}`, new Error('cut'))
      return get(key, ...(rest as []))
    }
  let reads = 0
  store.get = cut(() => ++reads > 1)
  await expect(hydrate()).rejects.toThrow('cut')
  // Otherwise the next start would take the one that was restored for all there are.
  expect(isIncomplete(data)).toBe(true)
  // An object that the store does not give, while it gives others, is one database's failure.
  store.get = cut((key) => key.startsWith('b.db/'))
  const rejections = await hydrate()
  expect([...rejections.keys()]).toEqual(['b.db'])
  expect(rejections.get('b.db')).toMatch(/cannot read object b\.db\/\S+ in memory:/)
  expect([existsSync(`${data.root}/a.db`), isIncomplete(data)]).toEqual([true, true])
  store.get = get
  expect(await hydrate()).toEqual(new Map())
  expect([existsSync(`${data.root}/b.db`), isIncomplete(data)]).toEqual([true, false])
  data.close()
})

test('what is no file in the place of the metadata of the only object in a backup is no outage', async () => {
  using temporary = temporaryDirectory()
  const { data, store, hydrate } = await setUp(temporary.dir, 'a.db')
  const head = store.head.bind(store)
  store.head = (key) => Promise.reject(new MetadataUnreadableError(store.url, key, new Error('it is a directory')))
  expect([...(await hydrate()).keys()]).toEqual(['a.db'])
  store.head = head
  expect(await hydrate()).toEqual(new Map())
  expect(readdirSync(data.root)).toEqual(['a.db'])
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

test('a database whose file cannot be written is not restored, with its path and the reason, and the others are', async () => {
  using temporary = temporaryDirectory()
  const { data, store, hydrate } = await setUp(temporary.dir, 'a.db')
  const huge = new PlayedDatabase('huge.db', seeded(SEED), 32_768)
  huge.commit()
  const { txid, checksum } = huge.position()
  await uploadTransactions(store, 'huge.db', huge, ZERO, txid)
  // A file of 128 TiB. Only tmpfs would hold it: there its missing pages are found.
  const [min, commit] = [toTXID(2), 0xffff_ffff]
  for await (const { header } of huge.records(txid, txid)) {
    const grown = { ...header, commit, minTXID: min, maxTXID: min, preApplyChecksum: checksum }
    const bytes = encode(grown, [[commit, new Uint8Array(32_768)]], checksum)
    await store.put(fileKey(store.layout, 'huge.db', { level: 0, min, max: min }), bytes)
  }
  const rejections = await hydrate()
  expect([...rejections.keys()]).toEqual(['huge.db'])
  expect(rejections.get('huge.db')).toMatch(
    /^cannot write \S+\/hydrating\/huge\.db: EFBIG|page \d+ of 4294967295 is in no/,
  )
  expect(readdirSync(data.root)).toEqual(['a.db'])
  expect(readdirSync(`${data.dir}/hydrating`)).toEqual([])
  data.close()
})

test('a name that no database can have is skipped with one short line, and the databases are restored', async () => {
  using temporary = temporaryDirectory()
  const lines: string[] = []
  const { data, store, hydrate } = await setUp(temporary.dir, 'a.db')
  const names = ['my-journal', '../../etc/x.db', 'a\0b.db', 'x'.repeat(300), 'a\u001b[31m\n.db', '.ltxd/a.db', '/a.db']
  const list = store.list.bind(store)
  store.list = async function* (prefix, after) {
    yield* list(prefix, after)
    for (const name of names) {
      const database = name.split('/').map(encodeURIComponent).join('/')
      for (const file of ['0000/0000000000000001-0000000000000001.ltx', 'markers/0000000000000001-dropped.json'])
        yield { key: `${database}/${file}`, sizeBytes: 100, lastModifiedMs: 0, storedMs: 0 }
    }
  }
  expect(await hydrate((line) => lines.push(line))).toEqual(new Map())
  expect(readdirSync(data.root)).toEqual(['a.db'])
  const warned = lines.filter((line) => line.includes('a name that no database can have'))
  expect(warned).toHaveLength(names.length)
  for (const line of warned) expect(line.length).toBeLessThan(500)
  expect(warned.join('')).not.toMatch(/\\u00|x{101}/)
  data.close()
})

test.skipIf(process.geteuid?.() !== 0)(
  'a restored database and the directories made for it get the recorded owner, or what the configuration says',
  async () => {
    using temporary = temporaryDirectory()
    const { data, store, hydrate } = await setUp(temporary.dir, 'old.db')
    const folders = ['0:0:755', '7:8:750', '9:9:700'].map(ownerOf)
    const owner = () => ({ file: ownerOf('65534:65533:640'), folders })
    const played = new PlayedDatabase('in/deep/a.db', seeded(SEED))
    played.commit(3)
    await uploadTransactions(store, 'in/deep/a.db', played, ZERO, played.position().txid, { owner })
    await hydrate()
    const shown = (root: string, name: string) => {
      const { uid, gid, mode } = lstatSync(`${root}/${name}`)
      return formatOwner({ uid, gid, mode: mode & 0o7777 })
    }
    expect(shown(data.root, 'old.db')).toBe('0:0:600')
    const restored = ['in', 'in/deep', 'in/deep/a.db'].map((name) => shown(data.root, name))
    expect(restored).toEqual(['7:8:750', '9:9:700', '65534:65533:640'])
    data.close()

    const other = openDataDirectory(`${temporary.dir}/other`)
    const owners = new Owners({ ...other, override: { uid: 1, mode: 0o660 }, logger })
    await hydrateMissing({ store, data: other, owners, logger, signal: undefined })
    expect(['old.db', 'in', 'in/deep/a.db'].map((name) => shown(other.root, name))).toEqual([
      '1:0:660',
      '1:8:770',
      '1:65533:660',
    ])
    other.close()
  },
)

test.skipIf(process.geteuid?.() !== 0)('a backup gives no directory away that was here before', async () => {
  using temporary = temporaryDirectory()
  const { data, store, hydrate } = await setUp(temporary.dir)
  const folders = ['5:5:777', '5:5:777'].map(ownerOf)
  const played = new PlayedDatabase('in/a.db', seeded(SEED))
  played.commit(3)
  await uploadTransactions(store, 'in/a.db', played, ZERO, played.position().txid, {
    owner: () => ({ file: ownerOf('5:5:600'), folders }),
  })
  mkdirSync(`${data.root}/in`)
  expect(await hydrate()).toEqual(new Map())
  expect(lstatSync(`${data.root}/in/a.db`).uid).toBe(5)
  expect([lstatSync(`${data.root}/in`).uid, lstatSync(data.root).uid]).toEqual([0, 0])
  data.close()
})

test('a database whose directory is a file is not restored, with the reason, and the others are', async () => {
  using temporary = temporaryDirectory()
  const { data, hydrate } = await setUp(temporary.dir, 'a.db', 'file/b.db', 'file/deep/c.db')
  writeFileSync(`${data.root}/file`, 'of an application')
  const rejections = await hydrate()
  expect([...rejections.keys()].sort()).toEqual(['file/b.db', 'file/deep/c.db'])
  for (const reason of rejections.values()) expect(reason).toContain('not a directory')
  expect(existsSync(`${data.root}/a.db`)).toBe(true)
  data.close()
})

function ownerOf(text: string): Owner {
  const owner = parseOwner(text)
  if (owner === undefined) throw new Error(text)
  return owner
}

test('a boot goes round a damaged object of the backup where others hold its transactions, and names one where none do', async () => {
  using temporary = temporaryDirectory()
  const { data, store, played, hydrate } = await setUp(temporary.dir, 'around.db', 'broken.db')
  await snapshotFromBackup(store, 'around.db')
  const damaged = new Map<string, string>()
  for (const name of ['around.db', 'broken.db']) {
    const { key } = planRestore(await loadHistory(store, name), NEWEST)[0]
    const { metadata } = (await store.head(key))!
    await store.delete([key])
    await store.put(key, Buffer.from('<html>'), { metadata })
    damaged.set(name, key)
  }
  const rejections = await hydrate()
  expect([...rejections.keys()]).toEqual(['broken.db'])
  expect(rejections.get('broken.db')).toContain(damaged.get('broken.db'))
  expect(readFileSync(`${data.root}/around.db`).equals(played.get('around.db')!.image())).toBe(true)
  data.close()
})
