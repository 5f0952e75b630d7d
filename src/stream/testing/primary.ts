import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KnownNodes } from '../../data/known-nodes.ts'
import type { Position } from '../../ltx/format/types.ts'
import { nodeFiles } from '../../util/files.ts'
import { createLogger } from '../../util/log.ts'
import type { NodeAddress, NodeName } from '../../util/node-address.ts'
import { StreamServer, type StreamServerOptions } from '../primary/server.ts'
import type { StreamedDatabase, StreamSource } from '../primary/source.ts'
import { Signal } from '../wire/signal.ts'
import { PrimaryDatabase } from './primary-database.ts'

export interface TestNodeOptions {
  readonly nodeId?: string
  readonly clusterId?: string
  readonly term?: bigint
  /** Of a replica; default: true. */
  readonly candidate?: boolean
  readonly stream?: StreamServerOptions
}

/** A node that leads. */
export class TestPrimary implements StreamSource {
  readonly nodeId: string
  readonly hostname = 'first'
  readonly temporaryParent: string
  readonly server: StreamServer
  /** Its log. */
  readonly lines: string[] = []
  readonly #dir: string
  readonly #changed = new Signal()
  readonly databasesByName = new Map<string, StreamedDatabase>()
  /** Databases that this node does not lead. */
  readonly withheldByName = new Map<string, StreamedDatabase>()
  /** Databases of which only the position of their drop remains. */
  readonly dropped = new Map<string, Position>()
  readonly known: KnownNodes
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
    this.known = new KnownNodes(nodeFiles, join(dir, 'nodes.json'), this.nodeId)
    this.temporaryParent = join(dir, 'temporary')
    const logger = createLogger({ level: 'info', format: 'json', write: (line) => this.lines.push(line) })
    this.server = new StreamServer(this, logger, options.stream)
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

  nodes(): readonly NodeName[] {
    return [{ nodeId: this.nodeId, hostname: this.hostname }, ...this.known.list()]
  }

  databases(): Iterable<StreamedDatabase> {
    return this.databasesByName.values()
  }

  withholds(): boolean {
    return this.withheldByName.size > 0
  }

  withheld(name: string): StreamedDatabase | undefined {
    return this.withheldByName.get(name)
  }

  droppedAt(name: string): Position | undefined {
    return this.dropped.get(name)
  }

  /** Only the position of its drop remains. */
  release(database: PrimaryDatabase): void {
    this.databasesByName.delete(database.name)
    this.dropped.set(database.name, database.log.position())
    this.published()
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
