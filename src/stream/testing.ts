/**
 * What the tests of this folder share: a primary with real SQLite databases and real logs, a replica that verifies what
 * it gets, HTTP between them.
 */

import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { openLog } from '../log/open.ts'
import { LogReader } from '../log/reader.ts'
import { createLog, ZERO_POSITION } from '../log/store.ts'
import type { LogView } from '../log/view.ts'
import type { LogWriter } from '../log/writer.ts'
import { decode } from '../ltx/file.ts'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import type { Header } from '../ltx/format/header.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, formatPosition, nextTXID } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import { createLogger } from '../util/log.ts'
import type { NodeAddress } from '../util/node-address.ts'
import { StreamServer } from './primary/server.ts'
import type { StreamedDatabase, StreamSource } from './primary/source.ts'
import { StreamClient } from './replica/client.ts'
import type { SnapshotHeader, StreamSink, TransactionHeader } from './replica/sink.ts'
import { Signal } from './wire/signal.ts'

const PAGE_SIZE = 1024
const silent = createLogger({ level: 'silent', format: 'json' })

/** Waits until something is so; fails, saying what, when it is not after ten seconds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition(); await sleep(2)) {
    if (performance.now() - start > 10_000) throw new Error(`${what}: not within 10 s`)
  }
}

/** A database file that SQLite writes; each transaction goes into a log, as a data plane would put it there. */
export class PrimaryDatabase implements StreamedDatabase {
  readonly name: string
  readonly filePath: string
  readonly logDir: string
  writer: LogWriter
  readonly positions: Position[] = []
  readonly #published: () => void
  readonly #segmentSizeBytes: number
  #sqlite: Sqlite.Database
  #pages: Buffer[] = []
  #sums = new PageSums()
  log: LogView

  constructor(dir: string, name: string, published: () => void, segmentSizeBytes = 1 << 20) {
    this.name = name
    this.filePath = join(dir, 'files', name)
    this.logDir = join(dir, 'log', `${name}.ltx`)
    this.#published = published
    this.#segmentSizeBytes = segmentSizeBytes
    mkdirSync(dirname(this.filePath), { recursive: true })
    createLog(nodeFiles, this.logDir, ZERO_POSITION)
    this.writer = openLog(nodeFiles, this.logDir, { segmentSizeBytes })
    this.log = new LogReader(name, this.logDir, () => this.writer.position)
    this.#sqlite = new Sqlite(this.filePath)
    this.#sqlite.pragma(`page_size = ${PAGE_SIZE}`)
    this.#sqlite.pragma('synchronous = OFF')
    this.#createTable()
  }

  get position(): Position {
    return this.writer.position
  }

  get image(): Buffer {
    return Buffer.concat(this.#pages)
  }

  /** One transaction. */
  execute(sql: string, ...values: unknown[]): Position {
    this.#sqlite.prepare(sql).run(...values)
    this.#capture(readFileSync(this.filePath))
    return this.position
  }

  commit(count = 1, sizeBytes = 100): Position {
    for (let i = 0; i < count; i++) this.execute('INSERT INTO t (v) VALUES (randomblob(?))', sizeBytes)
    return this.position
  }

  drop(): Position {
    this.#sqlite.close()
    rmSync(this.filePath)
    this.#capture(Buffer.alloc(0))
    return this.position
  }

  recreate(): Position {
    this.#sqlite = new Sqlite(this.filePath)
    this.#sqlite.pragma(`page_size = ${PAGE_SIZE}`)
    this.#sqlite.pragma('synchronous = OFF')
    return this.#createTable()
  }

  /** As retention does. */
  removeSegments(keep = 1): void {
    const names = nodeFiles.list(this.logDir).filter((name) => name.endsWith('.ltxlog'))
    for (const name of names.sort().slice(0, names.length - keep)) rmSync(`${this.logDir}/${name}`)
  }

  /** Puts another log in its place: empty, beginning at `base`. The pages stay. */
  rebase(base: Position): void {
    this.writer.close()
    rmSync(this.logDir, { recursive: true })
    createLog(nodeFiles, this.logDir, base)
    this.writer = openLog(nodeFiles, this.logDir, { segmentSizeBytes: this.#segmentSizeBytes })
  }

  close(): void {
    this.writer.close()
    this.#sqlite.close()
  }

  /** No two databases begin alike. */
  #createTable(): Position {
    return this.execute(`CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, note TEXT DEFAULT '${randomUUID()}')`)
  }

  #capture(file: Buffer): void {
    const before = this.#pages
    const after: Buffer[] = []
    for (let at = 0; at < file.length; at += PAGE_SIZE) after.push(file.subarray(at, at + PAGE_SIZE))
    const { txid, checksum } = this.position
    const next = nextTXID(txid)
    const header: Header = {
      flags: 0,
      pageSize: PAGE_SIZE,
      commit: after.length,
      minTXID: next,
      maxTXID: next,
      timestampMs: Date.now(),
      preApplyChecksum: txid === 0n ? 0n : checksum,
      walOffset: 0,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 7n,
    }
    const { position } = this.writer.append(header, (encoder) => {
      after.forEach((page, i) => {
        if (before[i]?.equals(page) === true) return
        encoder.writePage(i + 1, page)
        this.#sums.set(i + 1, page)
      })
      return this.#sums.truncate(after.length)
    })
    this.#pages = after
    this.positions.push(position)
    this.#published()
  }
}

/** The checksum of a database, kept up page by page. */
class PageSums {
  readonly #sums: Checksum[] = []
  #total: Checksum = EMPTY_CHECKSUM

  set(pgno: number, page: Uint8Array): void {
    this.#remove(pgno)
    const sum = pageChecksum(pgno, page)
    this.#sums[pgno] = sum
    this.#total = foldChecksum(this.#total, sum)
  }

  truncate(commit: number): Checksum {
    for (let pgno = this.#sums.length - 1; pgno > commit; pgno--) this.#remove(pgno)
    this.#sums.length = Math.min(this.#sums.length, commit + 1)
    return this.#total
  }

  #remove(pgno: number): void {
    const sum = this.#sums[pgno]
    if (sum !== undefined) this.#total = foldChecksum(this.#total, sum)
  }
}

export interface TestNodeOptions {
  readonly nodeId?: string
  readonly clusterId?: string
  readonly term?: bigint
}

/** A node that leads. */
export class TestPrimary implements StreamSource {
  readonly nodeId: string
  readonly hostname = 'first'
  readonly temporaryParent: string
  readonly server: StreamServer
  readonly #dir: string
  readonly #changed = new Signal()
  readonly databasesByName = new Map<string, StreamedDatabase>()
  readonly #owned: PrimaryDatabase[] = []
  readonly #clusterId: string
  #term: bigint | undefined
  #changes = 0
  #http: Server | undefined

  constructor(dir: string, options: TestNodeOptions = {}) {
    this.#dir = dir
    this.nodeId = options.nodeId ?? 'a'.repeat(16)
    this.#clusterId = options.clusterId ?? 'cluster-1'
    this.#term = options.term ?? 1n
    this.temporaryParent = join(dir, 'temporary')
    this.server = new StreamServer(this, silent)
  }

  create(name: string, segmentSizeBytes?: number): PrimaryDatabase {
    const database = new PrimaryDatabase(this.#dir, name, () => this.published(), segmentSizeBytes)
    this.databasesByName.set(name, database)
    this.#owned.push(database)
    this.published()
    return database
  }

  published(): void {
    this.#changes++
    this.#changed.wake()
  }

  clusterId(): string {
    return this.#clusterId
  }

  term(): bigint | undefined {
    return this.#term
  }

  set leads(term: bigint | undefined) {
    this.#term = term
    this.published()
  }

  databases(): Iterable<StreamedDatabase> {
    return this.databasesByName.values()
  }

  changes(): number {
    return this.#changes
  }

  async waitForChange(seen: number, timeoutMs: number): Promise<void> {
    const changed = this.#changed.next
    if (this.#changes !== seen) return
    const timer = new AbortController()
    await Promise.race([changed, sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined)])
    timer.abort()
  }

  get port(): number {
    return (this.#http?.address() as AddressInfo).port
  }

  get self(): Omit<NodeAddress, 'url'> {
    return { nodeId: this.nodeId, hostname: this.hostname }
  }

  get address(): NodeAddress {
    return { nodeId: this.nodeId, hostname: this.hostname, url: `http://127.0.0.1:${this.port}` }
  }

  async listen(
    handle = (request: IncomingMessage, response: ServerResponse) => this.server.handle(request, response),
    port = 0,
  ): Promise<void> {
    const http = createServer({ requestTimeout: 0 }, handle)
    this.#http = http
    await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve))
  }

  async close(): Promise<void> {
    await this.server.close('the test is over')
    this.#http?.closeAllConnections()
    await new Promise((resolve) => this.#http?.close(resolve) ?? resolve(undefined))
    for (const database of this.#owned) database.close()
  }
}

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
  readonly databases = new Map<string, ReplicaDatabase>()
  readonly snapshots: ReceivedSnapshot[] = []
  readonly unknowns: string[] = []
  readonly transactions: string[] = []
  caughtUpCount = 0
  aliveCount = 0
  cluster: string | undefined
  seenTerm: bigint
  client: StreamClient | undefined
  /** Called before each transaction or snapshot is taken. */
  before: (database: string, txid: TXID) => Promise<void> | void = () => undefined
  readonly lines: string[] = []

  constructor(options: TestNodeOptions = {}) {
    this.self = { nodeId: options.nodeId ?? 'b'.repeat(16), hostname: 'second', url: 'http://127.0.0.1:1' }
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

  follow(primary: NodeAddress, term = 1n, reconnectMs = 40): StreamClient {
    const logger = createLogger({ level: 'info', format: 'json', write: (line) => this.lines.push(line) })
    this.client = new StreamClient({ primary, term, sink: this, logger, reconnectMs })
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

  term(): bigint {
    return this.seenTerm
  }

  positions(): ReadonlyMap<string, Position> {
    const found = new Map<string, Position>()
    for (const [name, { position }] of this.databases) if (position !== undefined) found.set(name, position)
    return found
  }

  async history(name: string): Promise<readonly Position[]> {
    return this.databases.get(name)?.history.toReversed().slice(0, 4096) ?? []
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

  async unknown(name: string): Promise<void> {
    this.unknowns.push(name)
    this.databases.delete(name)
  }

  caughtUp(): void {
    this.caughtUpCount++
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
