import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import type { DataDirectory } from '../data/directory.ts'
import { Spool } from '../data/spool.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { TransactionHeader } from '../stream/replica/sink.ts'
import { TestPrimary } from '../stream/testing/primary.ts'
import type { PrimaryDatabase } from '../stream/testing/primary-database.ts'
import { TestReplica } from '../stream/testing/replica.ts'
import { until } from '../stream/testing/until.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { createLogger } from '../util/log.ts'
import type { ToClient } from './client/messages.ts'
import { ReplicaDatabase } from './database.ts'
import type { ReplicaDatabases } from './databases.ts'
import { ReplicaSink } from './sink.ts'

vi.setConfig({ testTimeout: 180_000 })

const OTHERS = 100
const SPOOL_BYTES = 3_000_000
/** What the local client may have of one database: see ReplicaDatabase. */
const UNAPPLIED_BYTES = 8 << 20

const directory = temporaryDirectories()
const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** A replica of which everything is real but the local client, which applies nothing of databases that are held up. */
class BackloggedReplica extends TestReplica {
  readonly memory = { bytes: 0 }
  readonly held = new Set<string>()
  readonly #sink: ReplicaSink
  readonly #databases = new Map<string, ReplicaDatabase>()
  readonly #headers = new Map<string, TransactionHeader[]>()
  readonly #waiting: (() => Promise<void>)[] = []

  constructor(spool: Spool) {
    super()
    this.#sink = new ReplicaSink({
      ...{ self: this.self, candidate: true, spool, data: {} as DataDirectory, plane: {} as DataPlane },
      databases: { get: async (name: string) => this.#database(name) } as unknown as ReplicaDatabases,
      logger: createLogger({ level: 'info', format: 'json', write: (line) => this.lines.push(line) }),
      ...{ caughtUp: () => {}, alive: () => {}, resynced: () => {} },
    })
    ends.push(() => this.#sink.interrupt())
  }

  override async transaction(
    name: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    header: TransactionHeader,
  ): Promise<void> {
    this.#headers.set(name, [...(this.#headers.get(name) ?? []), header])
    await this.#sink.transaction(name, bytes, header)
  }

  async letGo(): Promise<void> {
    this.held.clear()
    for (const work of this.#waiting.splice(0)) await work()
  }

  #database(name: string): ReplicaDatabase {
    const known = this.#databases.get(name)
    if (known !== undefined) return known
    const send = async (order: ToClient, body?: Uint8Array): Promise<void> => this.#ordered(database, order, body)
    const { memory } = this
    const database: ReplicaDatabase = new ReplicaDatabase({
      name,
      send,
      memory,
      applied: () => {},
      failed: (error) => expect.fail(error.message),
    })
    this.#databases.set(name, database)
    return database
  }

  #ordered(database: ReplicaDatabase, order: ToClient, body?: Uint8Array): void {
    if (order.type !== 'apply') throw new Error(`not expected: ${order.type}`)
    const { name } = database
    const { file } = order
    const work = async () => {
      const header = this.#headers.get(name)?.shift() as TransactionHeader
      await super.transaction(name, file === undefined ? (body ?? new Uint8Array()) : readFileSync(file), header)
      if (file !== undefined) rmSync(file)
      database.receive({ type: 'applied', database: name, position: '' }, undefined)
    }
    if (this.held.has(name)) this.#waiting.push(work)
    else setImmediate(() => void work())
  }
}

function bytesIn(dir: string): number {
  if (!existsSync(dir)) return 0
  return readdirSync(dir).reduce(
    (sum, name) => sum + (statSync(`${dir}/${name}`, { throwIfNoEntry: false })?.size ?? 0),
    0,
  )
}

/** Transactions of about this size, of a database that does not grow. */
function change(database: PrimaryDatabase, sizeBytes: number): void {
  database.execute('UPDATE t SET v = randomblob(?) WHERE id = 1', sizeBytes)
}

test.each([
  ['small', 200_000, 150],
  ['large', 1_000_000, 30],
])(
  'the backlog of a database that is held up is bounded in memory and on disk, its %s transactions hold up none of 100 others, and all of it is applied later',
  async (_, sizeBytes, count) => {
    const node = new TestPrimary(await directory())
    await node.listen()
    ends.push(() => node.close())
    const dir = await directory()
    const replica = new BackloggedReplica(new Spool(filesBeneath(dir), dir, SPOOL_BYTES))
    const held = node.create('held.db')
    held.commit(1, sizeBytes)
    const others = Array.from({ length: OTHERS }, (_, i) => node.create(`other-${i}.db`))
    for (const other of others) other.commit(1, 1000)
    for (const database of [held, ...others]) replica.copy(database)
    replica.held.add('held.db')
    const client = replica.follow(node.address)
    ends.push(() => client.stop())
    const most = { memoryBytes: 0, spoolBytes: 0 }
    const look = () => {
      most.memoryBytes = Math.max(most.memoryBytes, replica.memory.bytes)
      most.spoolBytes = Math.max(most.spoolBytes, bytesIn(`${dir}/spool`))
    }
    for (let i = 0; i < count; i++) {
      change(held, sizeBytes)
      const other = others[i % OTHERS] as PrimaryDatabase
      change(other, 1000)
      if (i % 10 !== 0) continue
      await until('another database', () => {
        look()
        return replica.equals(other)
      })
    }
    await until('all others', () => others.every((other) => replica.equals(other)))
    await until('a backlog', () => {
      look()
      return most.memoryBytes + most.spoolBytes > sizeBytes
    })
    expect(count * sizeBytes).toBeGreaterThan(3 * UNAPPLIED_BYTES)
    expect(most.memoryBytes).toBeLessThan(UNAPPLIED_BYTES + (1 << 20))
    expect(most.spoolBytes).toBeLessThanOrEqual(SPOOL_BYTES)
    expect(replica.equals(held)).toBe(false)
    await replica.letGo()
    await until('the held one', () => replica.equals(held))
    expect(replica.memory.bytes).toBe(0)
    expect(bytesIn(`${dir}/spool`)).toBe(0)
    expect(replica.snapshots).toEqual([])
  },
)
