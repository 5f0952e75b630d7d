import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { encode } from '../../ltx/file.ts'
import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import { EMPTY_CHECKSUM, toTXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { type UploadState, uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { loadHistory } from './history.ts'
import { fileKey } from './layout.ts'
import { formatMetadata } from './metadata.ts'
import { NEWEST } from './plan.ts'
import { verifyBackup } from './verify.ts'

const directory = temporaryDirectories()
const NOTHING: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

/** Ten objects of level 0. */
async function setUp() {
  const root = await directory()
  const store = new DirectoryStore(join(root, 'backup'))
  const played = new PlayedDatabase('app.db', seeded(SEED))
  let state = NOTHING
  const ship = async (count: number) => {
    for (let i = 0; i < count; i++) {
      played.commit()
      state = await uploadTransactions(store, 'app.db', played, state, played.position().txid)
    }
  }
  await ship(10)
  const flip = (key: string) => {
    const path = join(root, 'backup', key)
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1]! ^= 0x10
    writeFileSync(path, bytes)
  }
  return { root, store, played, ship, flip }
}

/** A store that does something before the n-th read. */
function interrupted(store: DirectoryStore, at: number, act: () => Promise<void>): ObjectStore {
  let reads = 0
  return Object.create(store, {
    get: {
      value: async (...args: Parameters<ObjectStore['get']>) => {
        if (++reads === at) await act()
        return store.get(...args)
      },
    },
    head: {
      value: async (key: string) => {
        if (++reads === at) await act()
        return store.head(key)
      },
    },
    list: { value: (prefix: string) => store.list(prefix) },
  }) as ObjectStore
}

describe(`a verification (LTXD_SEED=${SEED})`, () => {
  it('finds nothing wrong where compaction and retention replace objects at any of its reads', async () => {
    for (let at = 1; at <= 40; at += 3) {
      const { store, ship } = await setUp()
      let acted = false
      const racing = interrupted(store, at, async () => {
        acted = true
        await ship(1)
        await compactLevel(store, 'app.db', 1)
        await snapshotFromBackup(store, 'app.db')
        const { files } = await loadHistory(store, 'app.db')
        await store.delete(files.filter(({ level, max }) => level === 0 && max < 9n).map(({ key }) => key))
      })
      expect(await verifyBackup(racing), `read ${at}`).toMatchObject([{ database: 'app.db', findings: [] }])
      expect(acted || at > 20, `read ${at}`).toBe(true)
    }
  }, 60_000)

  it('finds an object that is listed and does not exist', async () => {
    const { store } = await setUp()
    const { key } = (await loadHistory(store, 'app.db')).files[3]!
    const lost: ObjectStore = Object.create(store, {
      head: { value: async (asked: string) => (asked === key ? undefined : store.head(asked)) },
      get: { value: async (...args: Parameters<ObjectStore['get']>) => store.get(...args) },
      list: { value: (prefix: string) => store.list(prefix) },
    }) as ObjectStore
    const [report] = await verifyBackup(lost)
    expect(report?.findings).toContainEqual(expect.objectContaining({ severity: 'error', key }))
    expect(await verifyBackup(lost, { sample: 1, random: () => 0.99 })).not.toMatchObject([{ findings: [] }])
  })

  it.each(['a page that no object has', 'another page size'])('rejects %s, as a restore does', async (what) => {
    const { root, store, played } = await setUp()
    const { txid, checksum } = played.position()
    const [pageSize, commit] = what === 'another page size' ? [1024, 1] : [512, played.pages.length + 5]
    const min = toTXID(txid + 1n)
    // As long as the pages that there are have the recorded checksum, only this rule tells.
    const page = pageSize === 512 ? played.pages[0]! : new Uint8Array(1024)
    const after = pageSize === 512 ? checksum : foldChecksum(EMPTY_CHECKSUM, pageChecksum(1, page))
    for await (const { header } of played.records(txid, txid)) {
      const grown = { ...header, pageSize, commit, minTXID: min, maxTXID: min, preApplyChecksum: checksum }
      const bytes = encode(grown, [[1, page]], after)
      const key = fileKey(store.layout, 'app.db', { level: 0, min, max: min })
      const { timestampMs } = header
      const recorded = formatMetadata(min, min, { timestampMs, postApplyChecksum: after, pageSize, commit })
      for (const metadata of [recorded, {}]) {
        await store.delete([key])
        await store.put(key, bytes, { metadata })
        const attempt = restoreDatabase(store, 'app.db', NEWEST, join(root, 'out.db'))
        await expect(attempt).rejects.toMatchObject({ code: 'BACKUP_OBJECT_CORRUPT', key })
        const [report] = await verifyBackup(store)
        expect(report?.findings).toContainEqual(expect.objectContaining({ severity: 'error', key }))
      }
    }
  })

  it('of nothing fails', async () => {
    const { root, store } = await setUp()
    const attempt = verifyBackup(new DirectoryStore(join(root, 'missing')))
    await expect(attempt).rejects.toMatchObject({ code: 'BACKUP_EMPTY' })
    await expect(verifyBackup(store, { database: 'other.db' })).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' })
    // One directory too deep.
    await expect(verifyBackup(new DirectoryStore(join(root, 'backup/app.db')))).rejects.toMatchObject({
      code: 'BACKUP_EMPTY',
    })
  })

  it('advises by whether other objects lead to the newest state', async () => {
    const { store, ship, flip } = await setUp()
    await snapshotFromBackup(store, 'app.db')
    const [snapshot] = (await loadHistory(store, 'app.db')).files.filter(({ level }) => level === 9)
    flip(snapshot!.key)
    const [around] = await verifyBackup(store)
    expect(around?.findings).toMatchObject([{ key: snapshot!.key, advice: /restored without it/ }].map(matching))
    await ship(1)
    const last = (await loadHistory(store, 'app.db')).files.filter(({ level }) => level === 0).at(-1)
    flip(last.key)
    const [lost] = await verifyBackup(store)
    const advice = lost?.findings.find(({ key }) => key === last.key)?.advice
    expect(advice).toMatch(/node that has the database ship a snapshot, or restore .* --txid 000000000000000a/)
  })

  it('of a sample reads as many objects, and of a time only those stored since', async () => {
    const { store, flip } = await setUp()
    const { files } = await loadHistory(store, 'app.db')
    expect(await verifyBackup(store, { sample: 3 })).toMatchObject([{ readCount: 3, fileCount: 10, findings: [] }])
    const sinceMs = Date.now() + 60_000
    expect(await verifyBackup(store, { sinceMs })).toMatchObject([{ readCount: 0, findings: [] }])
    flip(files[0]!.key)
    expect(await verifyBackup(store, { sample: 10 })).not.toMatchObject([{ findings: [] }])
    const seen = new Set<number>()
    for (let i = 0; i < 10; i++) {
      const [report] = await verifyBackup(store, { sample: 1, random: () => i / 10 })
      seen.add(report?.findings.filter(({ key }) => key === files[0]!.key).length ?? 0)
    }
    expect(seen).toEqual(new Set([0, 1]))
  })
})

function matching<T extends { advice: RegExp }>(finding: T) {
  return { ...finding, advice: expect.stringMatching(finding.advice) as string }
}
