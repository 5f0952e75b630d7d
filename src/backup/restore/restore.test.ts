import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { OutputExistsError } from '../../util/new-file.ts'
import { CorruptObjectError, NoBackupError, TargetUnavailableError } from '../history/errors.ts'
import { NEWEST } from '../history/plan.ts'
import { verifyBackup } from '../history/verify.ts'
import { uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { snapshotFromBackup } from '../upkeep/compaction.ts'
import { restoreDatabase } from './restore.ts'

const directory = temporaryDirectories()
const LEVEL0 = 'backup/app.db/ltx/0'
const FIRST = '0000000000000001-0000000000000004.ltx'
const NEWEST_FILE = '0000000000000005-0000000000000005.ltx'

async function setUp() {
  const root = await directory()
  const store = new DirectoryStore(join(root, 'backup'))
  const played = new PlayedDatabase('app.db', seeded(SEED))
  played.commit(5)
  const zero = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
  const state = await uploadTransactions(store, 'app.db', played, zero, toTXID(4))
  await uploadTransactions(store, 'app.db', played, state, toTXID(5))
  const out = join(root, 'out', 'app.db')
  await mkdir(join(root, 'out'))
  return { root, store, played, out, level0: join(root, LEVEL0) }
}

async function damage(path: string, change: (bytes: Buffer) => void): Promise<void> {
  const bytes = await readFile(path)
  change(bytes)
  await writeFile(path, bytes)
}

describe(`a restore (LTXD_SEED=${SEED})`, () => {
  it('restores the newest state, and creates missing directories', async () => {
    const { store, played, root } = await setUp()
    const out = join(root, 'deep', 'er', 'app.db')
    const progress: [number, number][] = []
    const result = await restoreDatabase(store, 'app.db', NEWEST, out, { progress: (...p) => progress.push(p) })
    expect(result).toMatchObject({ txid: 5n, pageSize: 512, commit: played.pages.length, verified: true })
    expect((await readFile(out)).equals(played.image())).toBe(true)
    expect(progress.at(-1)).toEqual([played.pages.length, played.pages.length])
    expect(await readdir(join(root, 'deep', 'er'))).toEqual(['app.db'])
  })

  it('never overwrites a file, nor restores beside a journal that SQLite would take for the database’s', async () => {
    const { store, out } = await setUp()
    for (const suffix of ['', '-wal', '-journal', '-shm']) {
      await writeFile(out + suffix, 'mine')
      await expect(restoreDatabase(store, 'app.db', NEWEST, out)).rejects.toBeInstanceOf(OutputExistsError)
      expect(await readFile(out + suffix, 'utf8')).toBe('mine')
      await rm(out + suffix)
    }
  })

  it('of a transaction whose time no date has, as a peer or a file may say it, is uploaded and restored', async () => {
    const root = await directory()
    for (const [name, nowMs] of [
      ['late', 2 ** 53 - 1000],
      ['early', -(2 ** 53) + 1],
    ] as const) {
      const store = new DirectoryStore(join(root, name))
      const played = new PlayedDatabase('app.db', seeded(SEED))
      played.nowMs = nowMs
      played.commit(2)
      const zero = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
      await uploadTransactions(store, 'app.db', played, zero, toTXID(2))
      const out = join(root, `${name}.db`)
      expect(await restoreDatabase(store, 'app.db', NEWEST, out)).toMatchObject({ txid: 2n, verified: true })
      expect((await readFile(out)).equals(played.image())).toBe(true)
      const [report] = await verifyBackup(store)
      expect(report?.findings.filter(({ severity }) => severity === 'error')).toEqual([])
    }
  })

  it('of an unknown database fails, and names the databases in the backup', async () => {
    const { store, out } = await setUp()
    const attempt = restoreDatabase(store, 'other.db', NEWEST, out)
    await expect(attempt).rejects.toBeInstanceOf(NoBackupError)
    await expect(attempt).rejects.toThrow(/it holds app\.db/)
  })

  it('of a database whose backup begins between two listings finds what has come', async () => {
    const { store, out } = await setUp()
    let listings = 0
    const late = new Proxy(store, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key)
        if (key === 'list' && ++listings === 1) return async function* () {}
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    expect(await restoreDatabase(late, 'app.db', NEWEST, out)).toMatchObject({ txid: 5n })
  })

  it('of a transaction inside a file fails, and names the nearest file ends', async () => {
    const { store, out } = await setUp()
    const attempt = restoreDatabase(store, 'app.db', { kind: 'txid', txid: toTXID(3) }, out)
    await expect(attempt).rejects.toBeInstanceOf(TargetUnavailableError)
    await expect(attempt).rejects.toThrow(/0000000000000004/)
  })

  it.each<[string, string, (bytes: Buffer) => void, RegExp]>([
    ['a flipped bit in a page', FIRST, (b) => (b[150]! ^= 4), /page data|file checksum|page number/],
    ['a wrong magic', FIRST, (b) => b.write('LTX9'), /not an LTX file.*\(at byte 0\)/],
    ['an absurd page size', NEWEST_FILE, (b) => b.writeUInt32BE(1 << 30, 8), /page size/],
    ['another file’s transactions', NEWEST_FILE, (b) => b.writeBigUInt64BE(6n, 24), /not those of its name/],
    ['a broken trailer', NEWEST_FILE, (b) => (b[b.length - 1]! ^= 1), /file checksum/],
  ])('of an object with %s names the object and the place, and writes nothing', async (_, name, change, message) => {
    const { store, out, level0, root } = await setUp()
    await damage(join(level0, name), change)
    const attempt = restoreDatabase(store, 'app.db', NEWEST, out)
    await expect(attempt).rejects.toBeInstanceOf(CorruptObjectError)
    await expect(attempt).rejects.toThrow(message)
    await expect(attempt).rejects.toMatchObject({ key: `app.db/ltx/0/${name}` })
    expect(await readdir(join(root, 'out'))).toEqual([])
    const [report] = await verifyBackup(store)
    expect(report?.findings.some(({ severity, key }) => severity === 'error' && key === `app.db/ltx/0/${name}`)).toBe(
      true,
    )
  })

  it('of an object cut short anywhere writes nothing', async () => {
    const { store, out, level0, root } = await setUp()
    const path = join(level0, NEWEST_FILE)
    const { length } = await readFile(path)
    for (const sizeBytes of [0, 50, 100, 103, Math.floor(length / 2), length - 20, length - 1]) {
      await truncate(path, sizeBytes)
      await expect(restoreDatabase(store, 'app.db', NEWEST, out)).rejects.toBeInstanceOf(CorruptObjectError)
      expect(await readdir(join(root, 'out'))).toEqual([])
      const whole = await setUp()
      await writeFile(path, await readFile(join(whole.level0, NEWEST_FILE)))
    }
  })

  it('of valid files from two histories fails on the checksum', async () => {
    const { store, out, root, level0 } = await setUp()
    const other = new PlayedDatabase('app.db', seeded(SEED + 3))
    other.commit(5)
    const otherStore = new DirectoryStore(join(root, 'other'))
    const zero = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
    const state = await uploadTransactions(otherStore, 'app.db', other, zero, toTXID(4))
    await uploadTransactions(otherStore, 'app.db', other, state, toTXID(5))
    await writeFile(join(level0, FIRST), await readFile(join(root, 'other/app.db/ltx/0', FIRST)))
    const attempt = restoreDatabase(store, 'app.db', NEWEST, out)
    await expect(attempt).rejects.toThrow(/the pages have checksum/)
    await expect(attempt).rejects.toMatchObject({ code: 'BACKUP_OBJECT_CORRUPT', key: `app.db/ltx/0/${FIRST}` })
    expect(await readdir(join(root, 'out'))).toEqual([])
    const [report] = await verifyBackup(store)
    expect(report?.findings.some(({ severity }) => severity === 'error')).toBe(true)
  })

  it('of a backup without metadata, as Litestream writes it, computes the checksum', async () => {
    const { store, played, out, level0 } = await setUp()
    for (const name of await readdir(level0)) if (name.endsWith('.json')) await rm(join(level0, name))
    const result = await restoreDatabase(store, 'app.db', NEWEST, out)
    expect(result).toMatchObject({ verified: false, checksum: played.position().checksum })
    expect(await verifyBackup(store)).toMatchObject([{ findings: [{ severity: 'warning' }] }])
  })

  it('plans again when compaction and retention remove its files', async () => {
    const { store, played, out } = await setUp()
    let taken = false
    const vanishing: ObjectStore = Object.create(store, {
      get: {
        value: async (...args: Parameters<ObjectStore['get']>) => {
          if (!taken) {
            taken = true
            await snapshotFromBackup(store, 'app.db')
            await store.delete([`app.db/ltx/0/${FIRST}`])
          }
          return store.get(...args)
        },
      },
      head: { value: (key: string) => store.head(key) },
      list: { value: (prefix: string) => store.list(prefix) },
    }) as ObjectStore
    const result = await restoreDatabase(vanishing, 'app.db', NEWEST, out)
    expect(result.files.map(({ level }) => level)).toEqual([9])
    expect((await readFile(out)).equals(played.image())).toBe(true)
  })

  it('leaves no file behind when it is interrupted', async () => {
    const { store, out, root } = await setUp()
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(restoreDatabase(store, 'app.db', NEWEST, out, { signal })).rejects.toThrow('enough')
    expect(await readdir(join(root, 'out'))).toEqual([])
  })

  it('of more files than are read at once gives the same database', async () => {
    const root = await directory()
    const store = new DirectoryStore(join(root, 'backup'))
    const played = new PlayedDatabase('long.db', seeded(SEED + 2))
    let state = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 } as Parameters<
      typeof uploadTransactions
    >[3]
    for (let i = 0; i < 20; i++) {
      played.commit()
      state = await uploadTransactions(store, 'long.db', played, state, played.position().txid)
    }
    const result = await restoreDatabase(store, 'long.db', NEWEST, join(root, 'long.db'), { maxInputs: 3 })
    expect(result).toMatchObject({ verified: true, checksum: played.position().checksum })
    expect((await readFile(join(root, 'long.db'))).equals(played.image())).toBe(true)
  })
})
