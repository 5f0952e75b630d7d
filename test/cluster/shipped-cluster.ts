import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseStatus } from '../../src/api/status.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import type { S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

/**
 * Two nodes and a bucket, with a bad network between each node and its replicas, and between each node and the bucket.
 */
export class ShippedCluster implements AsyncDisposable {
  readonly database = 'app.db'
  readonly bucket: string
  readonly cluster: TestCluster
  /** The first leader. */
  readonly first: ClusterMember
  readonly second: ClusterMember
  readonly #streams: ReadonlyMap<string, CuttingProxy>
  readonly #ways: ReadonlyMap<string, CuttingProxy>
  readonly #clients: SqlClient[] = []
  /** The offset in the log at which a restarted node begins, by pid. */
  readonly #marks = new Map<number, number>()

  private constructor(
    bucket: string,
    cluster: TestCluster,
    [first, second]: readonly [ClusterMember, ClusterMember],
    networks: Readonly<Record<'streams' | 'ways', ReadonlyMap<string, CuttingProxy>>>,
  ) {
    this.bucket = bucket
    this.cluster = cluster
    this.first = first
    this.second = second
    this.#streams = networks.streams
    this.#ways = networks.ways
  }

  static async start(server: S3Server): Promise<ShippedCluster> {
    const bucket = await server.freshUrl('cluster')
    const streams = new Map<string, CuttingProxy>()
    const ways = new Map<string, CuttingProxy>()
    for (const name of ['node-1', 'node-2']) ways.set(name, await CuttingProxy.start(server.port))
    const cluster = await TestCluster.start({
      nodes: 2,
      backup: (name) => bucket.replace(server.endpoint, `http://127.0.0.1:${ways.get(name)?.port}`),
      advertise: async (name, port) => {
        const proxy = await CuttingProxy.start(port)
        streams.set(name, proxy)
        return `http://127.0.0.1:${proxy.port}`
      },
    })
    const first = await cluster.primary()
    const second = cluster.members.find((member) => member !== first) ?? first
    return new ShippedCluster(bucket, cluster, [first, second], { streams, ways })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closeAll()
    await this.cluster.stop()
    for (const proxy of [...this.#streams.values(), ...this.#ways.values()]) await proxy.stop()
  }

  /** The connection from a node to the bucket. */
  way({ name }: ClusterMember): CuttingProxy {
    return this.#ways.get(name) as CuttingProxy
  }

  /** Keeps this node's replicas from receiving anything. */
  cutStream({ name }: ClusterMember): void {
    this.#streams.get(name)!.cuts = { times: Infinity, afterBytes: 0 }
  }

  mendStream({ name }: ClusterMember): void {
    this.#streams.get(name)!.cuts = { times: 0, afterBytes: 0 }
  }

  /** Starts the node on a new machine, without its data. */
  async restart(member: ClusterMember): Promise<void> {
    const { length } = readFileSync(member.node.options.logFile, 'utf8')
    await member.restart({ fresh: true })
    this.#marks.set(member.node.pid, length)
    await member.node.mounted()
  }

  /** The log of the node since its last start. */
  log({ node }: ClusterMember): string {
    return readFileSync(node.options.logFile, 'utf8').slice(this.#marks.get(node.pid) ?? 0)
  }

  open(member: ClusterMember): SqlClient {
    const client = new SqlClient(join(member.mount, this.database), { timeoutMs: 30_000 })
    this.#clients.push(client)
    return client
  }

  closeAll(): void {
    for (const client of this.#clients) client.kill()
  }

  async create(member: ClusterMember): Promise<SqlClient> {
    const app = this.open(member)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT, data BLOB)')
    return app
  }

  /** Commits each row in its own transaction. */
  async insert(app: SqlClient, who: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await app.exec(`INSERT INTO t (who, data) VALUES ('${who}', randomblob(3000))`)
  }

  async status(member: ClusterMember): Promise<DatabaseStatus | undefined> {
    return (await member.status())?.databases.find(({ name }) => name === this.database)
  }

  /** Waits until the bucket has every commit of this node. */
  shipped(member: ClusterMember): Promise<DatabaseStatus> {
    return this.waiting(`the backup of ${member.name}`, async () => {
      const database = await this.status(member)
      return database?.backup?.txid === database?.position.split('/')[0] && database
    })
  }

  async leads(member: ClusterMember): Promise<void> {
    await this.waiting(`the lead of ${member.name}`, async () => (await member.status())?.role === 'primary')
  }

  /** Waits until one node leads, the other follows, and both are at the same position. */
  async same(): Promise<void> {
    await this.waiting('the same on both', async () => {
      await this.cluster.settled()
      const positions = await Promise.all(this.cluster.members.map(async (one) => (await this.status(one))?.position))
      return positions[0] !== undefined && positions[0] === positions[1]
    })
  }

  async waiting<T>(what: string, condition: () => T | Promise<T | undefined | false> | undefined | false): Promise<T> {
    try {
      return await until(what, 60_000, condition, 50)
    } catch (error) {
      const logs = this.cluster.members.map(({ name, node }) => `--- ${name} ---\n${node.logTail(30)}`)
      throw new Error([String(error), ...logs].join('\n'), { cause: error })
    }
  }

  async keys(): Promise<string[]> {
    const store = openObjectStore(this.bucket)
    const found: string[] = []
    for await (const { key } of store.list('')) found.push(key)
    await store.close()
    return found
  }
}
