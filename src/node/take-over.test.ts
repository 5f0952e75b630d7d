import { pino } from 'pino'
import { expect, test } from 'vitest'
import { SEED } from '../../test/harness/effort.ts'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { loadHistory } from '../backup/history/history.ts'
import { type UploadState, uploadTransactions } from '../backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../backup/testing.ts'
import { compactLevel } from '../backup/upkeep/compaction.ts'
import { openDataDirectory } from '../data/directory.ts'
import { droppedAt } from '../log/dropped.ts'
import { createLog, logDirectory, ZERO_POSITION } from '../log/store.ts'
import { formatPosition, type Position, toTXID } from '../ltx/format/types.ts'
import { StoreUnavailableError } from '../objectstore/errors.ts'
import type { ByteRange } from '../objectstore/objectstore.ts'
import { MemoryStore } from '../objectstore/stores/memory.ts'
import { LateComparison } from './late-comparison.ts'
import { takeOver, takeOverUnlessAway } from './take-over.ts'
import type { TakenOver } from './taken-over.ts'

const logger = pino({ level: 'silent' })
const FAR_LATER = 4_000_000_000_000
const ZERO: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
const AT_3: TakenOver = { at: toTXID(3), isBackedUp: false }

/** Counts what a bucket would be asked. */
class CountingStore extends MemoryStore {
  readonly asked: string[] = []
  failures = 0

  override async head(key: string) {
    if (this.failures-- > 0) throw new StoreUnavailableError(this.url, 'no answer', undefined)
    this.asked.push('head')
    return super.head(key)
  }

  override list(prefix: string, startAfter?: string) {
    this.asked.push('list')
    return super.list(prefix, startAfter)
  }
}

async function shipped(store: MemoryStore, name: string, commits: number, term: bigint, seed = SEED) {
  const database = new PlayedDatabase(name, seeded(seed))
  database.commit(commits)
  const { txid } = database.position()
  const state = await uploadTransactions(store, name, database, ZERO, toTXID(txid - 1n), { term })
  await uploadTransactions(store, name, database, state, txid, { term })
  return database
}

/** A node at these positions, which is about to lead in term 4. */
function context(dir: string, store: MemoryStore, positions: ReadonlyMap<string, Position>, isLastLeaders: boolean) {
  const data = openDataDirectory(dir)
  const advanced: string[] = []
  const databases = new Map(
    Array.from(positions, ([name, position]) => [name, { name, state: () => ({ position }) } as never]),
  )
  const plane = { databases, position: (name: string) => positions.get(name) ?? ZERO_POSITION }
  const replica = {
    async advance(name: string, bytes: AsyncIterable<Uint8Array>, { position }: { position: Position | undefined }) {
      for await (const _ of bytes) continue
      advanced.push(`${name} ${position === undefined ? '' : formatPosition(position)}`)
    },
    own: async () => {},
    setAside: async () => {},
  }
  const signal = new AbortController().signal
  const options = { backup: { store }, plane, replica, data, localTerm: 3n, isLastLeaders, term: 4n, logger, signal }
  return { options, advanced, close: () => data.close() }
}

test('with the history of the last leader, only databases of which the backup names more are looked at one by one', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  const positions = new Map<string, Position>()
  for (let i = 0; i < 200; i++) positions.set(`${i}.db`, (await shipped(store, `${i}.db`, 2, 3n, SEED + i)).position())
  const more = await shipped(store, 'more.db', 3, 3n)
  store.asked.length = 0
  const { options, advanced, close } = context(temporary.dir, store, positions, true)
  const { takenOver: taken } = await takeOver(options)
  close()
  expect(store.asked.filter((what) => what === 'list')).toHaveLength(1)
  expect(store.asked.length).toBeLessThan(10)
  expect(taken.size).toBe(201)
  expect(taken.get('7.db')).toEqual({ at: 2n, isBackedUp: false, toCompare: 3n })
  expect(advanced).toEqual([`more.db ${formatPosition(more.position())}`])
  expect(taken.get('more.db')).toEqual({ at: 3n, isBackedUp: true })
})

test('without it every database is compared, many at once', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  const positions = new Map<string, Position>()
  for (let i = 0; i < 20; i++) positions.set(`${i}.db`, (await shipped(store, `${i}.db`, 2, 3n, SEED + i)).position())
  const { options, close } = context(temporary.dir, store, positions, false)
  const { takenOver: taken } = await takeOver(options)
  close()
  expect(new Set(taken.values())).toEqual(new Set(Array.from(positions, () => ({ at: 2n, isBackedUp: true }))))
})

test('one database that must not be led ends the take-over once the others are done', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  await shipped(store, 'a.db', 2, 9n)
  const { options, close } = context(temporary.dir, store, new Map(), true)
  await expect(takeOver(options)).rejects.toMatchObject({ code: 'TERM_BEHIND' })
  close()
})

test('a database of which an object is damaged is not led, the others are, and its objects stay', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  await shipped(store, 'a.db', 3, 3n)
  const b = await shipped(store, 'b.db', 3, 3n)
  const [damaged] = (await loadHistory(store, 'a.db')).files
  await store.put(damaged!.key, new Uint8Array(200), { metadata: (await store.head(damaged!.key))!.metadata })
  const { options, advanced, close } = context(temporary.dir, store, new Map(), false)
  const found = await takeOver({ ...options, localTerm: 0n })
  expect([...found.takenOver.keys()]).toEqual(['b.db'])
  expect(advanced).toEqual([`b.db ${formatPosition(b.position())}`])
  expect(found.withheld.get('a.db')).toMatch(`object ${damaged!.key} in ${store.url} is damaged`)
  // Without the backup it never leads again, although it led: a.db would begin anew.
  store.list = () => {
    throw new StoreUnavailableError(store.url, 'list objects', new Error('no answer'))
  }
  createLog(options.data.files, logDirectory(temporary.dir, 'b.db'), ZERO_POSITION)
  await expect(takeOverUnlessAway(options, true)).rejects.toThrow(StoreUnavailableError)
  close()
})

test('a node takes over without a damaged object where others lead to the same transaction', async () => {
  using temporary = temporaryDirectory()
  let nowMs = Date.now()
  const store = new CountingStore({ now: () => nowMs })
  const database = new PlayedDatabase('a.db', seeded(SEED))
  let state = ZERO
  for (let i = 0; i < 4; i++) {
    database.commit()
    state = await uploadTransactions(store, 'a.db', database, state, database.position().txid, { term: 3n })
  }
  nowMs = FAR_LATER
  await compactLevel(store, 'a.db', 1, { nowMs })
  const { files } = await loadHistory(store, 'a.db')
  const merged = files.find(({ level }) => level === 1)!
  await store.put(merged.key, new Uint8Array(200), { metadata: (await store.head(merged.key))!.metadata })
  const { options, advanced, close } = context(temporary.dir, store, new Map(), false)
  const { takenOver, withheld } = await takeOver({ ...options, localTerm: 0n })
  close()
  expect(withheld).toEqual(new Map())
  expect(takenOver.get('a.db')).toEqual({ at: 4n, isBackedUp: true })
  expect(advanced).toEqual([`a.db ${formatPosition(database.position())}`])
})

test('an object that the store does not give is the failure of one database; a store that gives nothing is away', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  await shipped(store, 'a.db', 3, 3n)
  await shipped(store, 'b.db', 3, 3n)
  const get = store.get.bind(store)
  const refuse = (isRefused: (key: string) => boolean) => (key: string, range?: ByteRange) => {
    if (isRefused(key)) throw new StoreUnavailableError(store.url, `read object ${key}`, new Error('500'))
    return get(key, range)
  }
  const { options, close } = context(temporary.dir, store, new Map(), false)
  store.get = refuse((key) => key.startsWith('a.db/'))
  const found = await takeOver({ ...options, localTerm: 0n })
  expect([[...found.takenOver.keys()], [...found.withheld.keys()]]).toEqual([['b.db'], ['a.db']])
  expect(found.withheld.get('a.db')).toMatch(/cannot read object a\.db\//)
  store.get = refuse(() => true)
  await expect(takeOver({ ...options, localTerm: 0n })).rejects.toThrow(StoreUnavailableError)
  close()
})

test('a node without any history never leads without reading the backup, whatever it has led', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  store.list = () => {
    throw new StoreUnavailableError(store.url, 'list objects', new Error('no answer'))
  }
  const { options, close } = context(temporary.dir, store, new Map(), true)
  await expect(takeOverUnlessAway(options, true)).rejects.toThrow(StoreUnavailableError)
  createLog(options.data.files, logDirectory(temporary.dir, 'a.db'), ZERO_POSITION)
  await expect(takeOverUnlessAway(options, false)).rejects.toThrow(StoreUnavailableError)
  expect((await takeOverUnlessAway(options, true)).takenOver).toEqual(new Map())
  close()
})

test('a node without any history leads where the backup has nothing but drops, which it adopts', async () => {
  using temporary = temporaryDirectory()
  const store = new CountingStore()
  const database = new PlayedDatabase('gone.db', seeded(SEED))
  database.commit(3)
  database.drop()
  await uploadTransactions(store, 'gone.db', database, ZERO, database.position().txid, { term: 3n })
  const { options, close } = context(temporary.dir, store, new Map(), false)
  const { txid } = database.position()
  const { takenOver } = await takeOver({ ...options, localTerm: 0n })
  expect(takenOver).toEqual(new Map([['gone.db', { at: txid, isBackedUp: true }]]))
  expect(droppedAt(options.data.files, logDirectory(temporary.dir, 'gone.db'))?.txid).toBe(txid)
  close()
})

test('what is compared late finds an object of a deposed leader that ends before the position', async () => {
  const store = new CountingStore()
  const zombie = await shipped(store, 'app.db', 2, 2n)
  const log = zombie.fork(toTXID(1), seeded(SEED + 1))
  log.commit(2)
  const late = new LateComparison({ store, logger, signal: new AbortController().signal })
  const compared: TakenOver[] = []
  late.begin(log, AT_3, 3n, (it) => compared.push(it))
  await late.settled(new AbortController().signal)
  expect(compared).toEqual([{ at: 1n, isBackedUp: false }])
})

test('what is compared late is repeated until the store answers, and ends with its signal', async () => {
  const store = new CountingStore()
  const log = await shipped(store, 'app.db', 3, 3n)
  const ended = new AbortController()
  const late = new LateComparison({ store, logger, signal: ended.signal })
  const compared: TakenOver[] = []
  store.failures = 1
  late.begin(log, AT_3, 3n, (it) => compared.push(it))
  await late.settled(new AbortController().signal)
  expect(compared).toEqual([{ at: 3n, isBackedUp: true }])
  store.failures = Infinity
  late.begin(log, AT_3, 3n, (it) => compared.push(it))
  await late.settled(AbortSignal.timeout(20))
  ended.abort()
  await late.settled(new AbortController().signal)
  expect(compared).toHaveLength(1)
})
