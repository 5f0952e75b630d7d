import type { DatabaseOwner } from '../../data/database-owner.ts'
import { decode } from '../../ltx/file.ts'
import type { Position, TXID } from '../../ltx/format/types.ts'
import { formatPosition, nextTXID } from '../../ltx/format/types.ts'
import { createLogger } from '../../util/log.ts'
import type { NodeAddress, NodeName } from '../../util/node-address.ts'
import { StreamClient } from '../replica/client.ts'
import type { SnapshotHeader, StreamSink, TransactionHeader } from '../replica/sink.ts'
import { PageSums } from './page-sums.ts'
import type { TestNodeOptions } from './primary.ts'
import { PAGE_SIZE, type PrimaryDatabase } from './primary-database.ts'

export interface ReceivedSnapshot extends SnapshotHeader {
  readonly database: string
}

/** A database at the replica: pages in memory, every transaction verified. */
export class ReplicaDatabase {
  pages: Uint8Array[] = []
  history: Position[] = []
  #sums = new PageSums()

  get position(): Position | undefined {
    return this.history.at(-1)
  }

  get image(): Buffer {
    return Buffer.concat(this.pages)
  }

  setPage(pgno: number, page: Uint8Array): void {
    this.pages[pgno - 1] = page
    this.#sums.set(pgno, page)
  }

  apply(bytes: Uint8Array, expected: Position): void {
    const { header, pages, trailer } = decode(bytes)
    for (const [pgno, page] of pages) this.setPage(pgno, page)
    this.pages.length = header.commit
    const checksum = this.#sums.truncate(header.commit)
    if (checksum !== expected.checksum || trailer.postApplyChecksum !== expected.checksum) {
      throw new Error(
        `${formatPosition(expected)} was promised, ${formatPosition({ txid: header.maxTXID, checksum })} came`,
      )
    }
    this.history.push(expected)
  }
}

/** A node that follows. */
export class TestReplica implements StreamSink {
  readonly self: NodeAddress
  readonly candidate: boolean
  readonly databases = new Map<string, ReplicaDatabase>()
  readonly snapshots: ReceivedSnapshot[] = []
  readonly unknowns: string[] = []
  /** Where the primary dropped them, as it said with `unknown`. */
  readonly dropped = new Map<string, Position>()
  readonly transactions: string[] = []
  /** Every owner that came, in order, among what else came of the databases. */
  readonly owners: { readonly database: string; readonly owner: DatabaseOwner; readonly at: Position | undefined }[] =
    []
  /** The nodes of the cluster, each time that the primary named them. */
  readonly named: string[] = []
  /** The term of each primary whose whole history was here, each time. */
  readonly caughtUpTerms: (bigint | undefined)[] = []
  /** A database waits for a snapshot. */
  lacks = false
  aliveCount = 0
  cluster: string | undefined
  seenTerm: bigint
  client: StreamClient | undefined
  /** Called before each transaction or snapshot is taken. */
  before: (database: string, txid: TXID) => Promise<void> | void = () => undefined
  readonly lines: string[] = []

  constructor(options: TestNodeOptions = {}) {
    this.self = { nodeId: options.nodeId ?? 'b'.repeat(16), hostname: 'second', url: 'http://127.0.0.1:1' }
    this.candidate = options.candidate ?? true
    this.cluster = options.clusterId
    this.seenTerm = options.term ?? 0n
  }

  /** Has a copy of what the primary has. */
  copy({ name, positions, image }: PrimaryDatabase): void {
    const database = new ReplicaDatabase()
    for (let at = 0; at < image.length; at += PAGE_SIZE) {
      database.setPage(at / PAGE_SIZE + 1, image.subarray(at, at + PAGE_SIZE))
    }
    database.history = positions.slice()
    this.databases.set(name, database)
  }

  /** Has what that replica has. */
  copyOf(other: TestReplica, name: string): void {
    const { pages = [], history = [] } = other.databases.get(name) ?? {}
    const database = new ReplicaDatabase()
    pages.forEach((page, i) => database.setPage(i + 1, page))
    database.history = history.slice()
    this.databases.set(name, database)
  }

  follow(primary: NodeAddress, term = 1n, reconnectMs = 40, maxNames?: number): StreamClient {
    const logger = createLogger({ level: 'info', format: 'json', write: (line) => this.lines.push(line) })
    this.client = new StreamClient({
      primary,
      term,
      sink: this,
      logger,
      reconnectMs,
      ...(maxNames !== undefined && { maxNames }),
    })
    this.client.start()
    return this.client
  }

  /** Whether a database is as it is there. */
  equals({ name, position, image }: PrimaryDatabase): boolean {
    const mine = this.databases.get(name)
    if (mine?.position?.txid !== position.txid) return false
    return mine.position.checksum === position.checksum && mine.image.equals(image)
  }

  clusterId(): string | undefined {
    return this.cluster
  }

  adoptCluster(id: string): void {
    this.cluster = id
  }

  nodes(nodes: readonly NodeName[]): void {
    this.named.push(nodes.map(({ nodeId }) => nodeId).join())
  }

  get caughtUpCount(): number {
    return this.caughtUpTerms.length
  }

  term(): bigint {
    return this.seenTerm
  }

  positions(): ReadonlyMap<string, Position> {
    const found = new Map<string, Position>()
    for (const [name, { position }] of this.databases) if (position !== undefined) found.set(name, position)
    return found
  }

  has(name: string): boolean {
    return this.databases.has(name)
  }

  async history(name: string): Promise<readonly Position[]> {
    return this.databases.get(name)?.history.toReversed().slice(0, 4096) ?? []
  }

  async owner(database: string, owner: DatabaseOwner): Promise<void> {
    this.owners.push({ database, owner, at: this.databases.get(database)?.position })
  }

  async transaction(
    name: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    header: TransactionHeader,
  ): Promise<void> {
    await this.before(name, header.txid)
    const whole = bytes instanceof Uint8Array ? bytes : await collect(bytes)
    if (whole.length !== header.sizeBytes) throw new Error('a transaction of another length than announced')
    const database = this.databases.get(name)
    const at = database?.position
    if (at === undefined || nextTXID(at.txid) !== header.txid || at.checksum !== header.preApplyChecksum) {
      throw new Error(
        `transaction ${header.txid} does not continue ${at === undefined ? 'nothing' : formatPosition(at)}`,
      )
    }
    const position = { txid: header.txid, checksum: header.postApplyChecksum }
    database?.apply(whole, position)
    this.transactions.push(`${name} ${header.txid}`)
    this.client?.acknowledge(name, position)
  }

  async snapshot(name: string, header: SnapshotHeader, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    await this.before(name, header.position.txid)
    const database = new ReplicaDatabase()
    database.apply(await collect(bytes), header.position)
    this.snapshots.push({ database: name, ...header })
    this.databases.set(name, database)
    this.client?.acknowledge(name, header.position)
  }

  async unknown(name: string, dropped?: Position): Promise<void> {
    this.unknowns.push(name)
    if (dropped !== undefined) this.dropped.set(name, dropped)
    this.databases.delete(name)
  }

  caughtUp(term: bigint | undefined): Promise<boolean> {
    this.caughtUpTerms.push(term)
    return Promise.resolve(!this.lacks)
  }

  alive(): void {
    this.aliveCount++
  }
}

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}
