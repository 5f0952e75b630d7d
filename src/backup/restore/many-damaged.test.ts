import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID } from '../../ltx/format/types.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { type BackupHistory, loadHistory } from '../history/history.ts'
import { fileKey } from '../history/layout.ts'
import { NEWEST } from '../history/plan.ts'
import { verifyBackup } from '../history/verify.ts'
import { type UploadState, uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded } from '../testing.ts'
import { restoreDatabase } from './restore.ts'

const dir = mkdtempSync(join(tmpdir(), 'ltxd-many-damaged-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const NOTHING: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
const NO_LTX = Buffer.from('<html><body>Log in to the network</body></html>'.repeat(9))

/** How many objects are asked for, and how many steps are made over the listing. */
interface Work {
  reads: number
  steps: number
}

/** A database with a level-0 object for each transaction. */
async function backUp(count: number) {
  const [store, work] = [new MemoryStore(), { reads: 0, steps: 0 }]
  const played = new PlayedDatabase('app.db', seeded(SEED))
  let state = NOTHING
  for (let i = 0; i < count; i++) {
    state = await uploadTransactions(store, 'app.db', played, state, played.commit())
  }
  const get = store.get.bind(store)
  store.get = (...args) => {
    work.reads++
    return get(...args)
  }
  return { store, played, work }
}

function counted(history: BackupHistory, work: Work): BackupHistory {
  const files = history.files.map(({ max, ...file }) => ({
    ...file,
    get max() {
      work.steps++
      return max
    },
  }))
  return { ...history, files }
}

const DAMAGES: Record<string, (store: MemoryStore, n: number) => Promise<void>> = {
  'every object of a level': async (store, n) => {
    const [min, max] = [toTXID(n), toTXID(n)]
    await store.put(fileKey(store.layout, 'app.db', { level: 1, min, max }), NO_LTX)
  },
  'every snapshot': async (store, n) => {
    const [min, max] = [toTXID(1), toTXID(n)]
    await store.put(fileKey(store.layout, 'app.db', { level: 9, min, max }), NO_LTX)
  },
}

test.each(Object.keys(DAMAGES))('where %s is damaged, twice as many objects cost about twice as much', async (what) => {
  const works: Work[] = []
  for (const count of [150, 300]) {
    const { store, played, work } = await backUp(count)
    for (let n = 1; n <= count; n++) await DAMAGES[what]!(store, n)
    const history = counted(await loadHistory(store, 'app.db'), work)
    const result = await restoreDatabase(store, 'app.db', NEWEST, join(dir, `${what} ${count}`), { history })
    expect(result).toMatchObject({ checksum: played.position().checksum, verified: true })
    works.push({ ...work })
    expect(work.reads).toBeLessThan(count * 8)
  }
  const [half, whole] = works
  expect(whole!.reads / half!.reads).toBeLessThan(2.5)
  expect(whole!.steps / half!.steps).toBeLessThan(2.8)
})

test('where every object is damaged, the error comes after one look at each, and names a few', async () => {
  const { store, work } = await backUp(150)
  const listed = await loadHistory(store, 'app.db')
  for (const { key } of listed.files) await store.put(key, NO_LTX)
  const history = counted(listed, work)
  const attempt = restoreDatabase(store, 'app.db', NEWEST, join(dir, 'none'), { history })
  const error = await attempt.then(String, String)
  expect(error).toMatch(/is damaged.*No other objects hold its transactions/)
  expect(error.length).toBeLessThan(2_000)
  expect(work.reads).toBeLessThan(3 * 150)
  const [report] = await verifyBackup(store)
  expect(report?.findings.filter(({ key }) => key !== undefined)).toHaveLength(150)
})
