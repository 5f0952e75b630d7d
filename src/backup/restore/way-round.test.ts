import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID, type TXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { CorruptObjectError } from '../history/errors.ts'
import { loadHistory } from '../history/history.ts'
import { NEWEST, planRestore, type Target } from '../history/plan.ts'
import { uploadTransactions } from '../ship/upload.ts'
import { DAMAGES, PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { restoreDatabase } from './restore.ts'

const directory = temporaryDirectories()

type Damage = (path: string) => void

const OF_OBJECTS: Readonly<Record<string, Damage>> = {
  ...DAMAGES,
  'another page size': (path) => {
    const bytes = readFileSync(path)
    bytes.writeUInt32BE(1024, 8)
    writeFileSync(path, bytes)
  },
  'the content of another object': (path) => {
    const folder = join(path, '..')
    const other = readdirSync(folder).find((name) => name.endsWith('.ltx') && join(folder, name) !== path)
    writeFileSync(path, other === undefined ? 'nothing' : readFileSync(join(folder, other)))
  },
}

/**
 * Level 0 whole, two older snapshots and level 1 over it, and a tail that only level 0 has: the newest plan is the
 * newest snapshot, level 1 and level 0.
 */
async function layeredBackup(seed = SEED) {
  const root = await directory()
  const store = new DirectoryStore(join(root, 'backup'))
  const played = new PlayedDatabase('app.db', seeded(seed))
  let state = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 } as Parameters<
    typeof uploadTransactions
  >[3]
  const ship = async (count: number) => {
    for (let i = 0; i < count; i++) {
      played.commit()
      state = await uploadTransactions(store, 'app.db', played, state, played.position().txid)
    }
  }
  await ship(4)
  await snapshotFromBackup(store, 'app.db')
  await ship(4)
  await snapshotFromBackup(store, 'app.db')
  await ship(4)
  await compactLevel(store, 'app.db', 1)
  await ship(2)
  return { root, store, played, pathOf: (key: string) => join(root, 'backup', key) }
}

function bytesOf(played: PlayedDatabase, txid: TXID): Buffer {
  return played.states.get(txid) ?? Buffer.alloc(0)
}

describe(`a restore around damage (LTXD_SEED=${SEED})`, () => {
  for (const [what, damage] of Object.entries(OF_OBJECTS)) {
    it(`finds the way round each object of the plan that has ${what}, or names it`, async () => {
      const { root, store, played, pathOf } = await layeredBackup()
      const history = await loadHistory(store, 'app.db')
      const plan = planRestore(history, NEWEST)
      expect(new Set(plan.map(({ level }) => level))).toEqual(new Set([9, 1, 0]))
      for (const file of plan) {
        const path = pathOf(file.key)
        const whole = readFileSync(path)
        damage(path)
        const out = join(root, `${file.level}-${file.max}.db`)
        const attempt = restoreDatabase(store, 'app.db', NEWEST, out)
        if (file.level === 0) {
          await expect(attempt, file.key).rejects.toMatchObject({ code: 'BACKUP_OBJECT_CORRUPT', key: file.key })
          await expect(attempt).rejects.toThrow(/ltxd restore .* --txid [0-9a-f]{16}/)
        } else {
          expect(await attempt, file.key).toMatchObject({ avoided: [{ key: file.key }], verified: true })
          expect(readFileSync(out).equals(played.image())).toBe(true)
        }
        writeFileSync(path, whole)
      }
    })
  }

  it('finds the way round an object that is listed but gone', async () => {
    const { root, store, played } = await layeredBackup()
    const [gone] = planRestore(await loadHistory(store, 'app.db'), NEWEST)
    const listing: ObjectStore = Object.create(store, {
      list: { value: (prefix: string) => store.list(prefix) },
      head: { value: async (key: string) => (key === gone.key ? undefined : store.head(key)) },
      get: {
        value: async (...args: Parameters<ObjectStore['get']>) => {
          if (args[0] === gone.key) throw new ObjectNotFoundError(store.url, gone.key)
          return store.get(...args)
        },
      },
    }) as ObjectStore
    const out = join(root, 'out.db')
    expect(await restoreDatabase(listing, 'app.db', NEWEST, out)).toMatchObject({ avoided: [{ key: gone.key }] })
    expect(readFileSync(out).equals(played.image())).toBe(true)
  })

  it('finds the way round several damaged objects, and round none for an earlier moment', async () => {
    const { root, store, played, pathOf } = await layeredBackup()
    const history = await loadHistory(store, 'app.db')
    const high = history.files.filter(({ level }) => level > 0)
    for (const { key } of high) OF_OBJECTS['a flipped bit']!(pathOf(key))
    const targets: Target[] = [NEWEST, ...[...played.states.keys()].map((txid) => ({ kind: 'txid', txid }) as const)]
    for (const [i, target] of targets.entries()) {
      const out = join(root, `${i}.db`)
      const result = await restoreDatabase(store, 'app.db', target, out)
      expect(result.avoided.every(({ key }) => high.some((file) => file.key === key))).toBe(true)
      expect(readFileSync(out).equals(bytesOf(played, result.txid))).toBe(true)
      rmSync(out)
    }
  })

  it('never ends at an earlier transaction than the backup holds', async () => {
    const { root, store, pathOf } = await layeredBackup()
    const plan = planRestore(await loadHistory(store, 'app.db'), NEWEST)
    const last = plan.at(-1) ?? plan[0]
    OF_OBJECTS['a flipped bit']!(pathOf(last.key))
    const attempt = restoreDatabase(store, 'app.db', NEWEST, join(root, 'out.db'))
    await expect(attempt).rejects.toBeInstanceOf(CorruptObjectError)
  })

  it('finds the way round a valid object of another history by the checksums', async () => {
    const { root, store, played } = await layeredBackup()
    const other = await layeredBackup(SEED + 7)
    const plan = planRestore(await loadHistory(store, 'app.db'), NEWEST)
    const { key } = plan.find(({ level }) => level === 1)!
    const { metadata } = (await store.head(key))!
    await store.delete([key])
    // With the metadata of the right one: only the pages tell.
    await store.put(key, readFileSync(other.pathOf(key)), { metadata })
    const out = join(root, 'out.db')
    const result = await restoreDatabase(store, 'app.db', NEWEST, out)
    expect(result.avoided.map(({ key }) => key)).toEqual([key])
    expect(readFileSync(out).equals(played.image())).toBe(true)
  })
})
