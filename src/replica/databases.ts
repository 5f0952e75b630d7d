import type { DataDirectory } from '../data/directory.ts'
import { keepDiverged, keepRefused } from '../data/diverged.ts'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { formatPosition, parsePosition } from '../ltx/format/types.ts'
import type { Logger } from '../util/log.ts'
import type { FromClient } from './client/messages.ts'
import type { ReplicaError } from './database.ts'
import { ReplicaDatabase } from './database.ts'
import { LocalClientProcess } from './local-client.ts'
import type { ReplicationStatus } from './status.ts'

export interface ReplicaDatabasesOptions {
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly mountDir: string
  readonly logger: Logger
  readonly applied: (database: string, position: Position) => void
  /** Only a snapshot leads on. */
  readonly broken: (database: string, reason: string) => void
  /** The local client has ended by itself. */
  readonly lost: () => void
}

/** Positions that a database may be found at when a client takes it up: as many as one that died can have left unpublished, and more. */
const POSITIONS_TOLD = 1024

/** The databases of a replica: each is held by the local client, from the start to the end. */
export class ReplicaDatabases {
  readonly #options: ReplicaDatabasesOptions
  readonly #databases = new Map<string, ReplicaDatabase>()
  #client: LocalClientProcess | undefined

  constructor(options: ReplicaDatabasesOptions) {
    this.#options = options
  }

  /** A client takes up all that is there. */
  async open(): Promise<void> {
    const { plane, mountDir, logger } = this.#options
    this.#databases.clear()
    const client = new LocalClientProcess({ plane, mountDir, logger, received: (message) => this.#receive(message) })
    this.#client = client
    void client.ended.then(() => this.#clientEnded(client))
    for (const known of plane.databases.values()) {
      if (known.rejection !== undefined) await this.#discardRefused(known)
      else if (known.state().position.txid > 0n) await this.#take(known.name)
    }
  }

  /** Lets go of everything. */
  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.close()
  }

  all(): IterableIterator<ReplicaDatabase> {
    return this.#databases.values()
  }

  async get(name: string): Promise<ReplicaDatabase> {
    const problem = databaseNameProblem(name)
    if (problem !== undefined) throw new Error(`the primary names a database that cannot be: ${problem}`)
    return this.#databases.get(name) ?? (await this.#take(name))
  }

  /** Resolves when all that was handed over is done with. */
  async idle(): Promise<void> {
    await Promise.all(Array.from(this.all(), (database) => database.idle()))
  }

  status(name: string): ReplicationStatus | undefined {
    const database = this.#databases.get(name)
    if (database === undefined) return undefined
    const { broken, blocked, behind } = database
    if (broken !== undefined) return { state: 'resyncing', reason: broken }
    if (blocked !== undefined) return { state: 'lagging', behind, reason: blocked }
    return { state: 'following', ...(behind > 0 && { behind }) }
  }

  /** Its newest positions that the log tells, newest first. */
  async positions(name: string, count: number): Promise<Position[]> {
    const { plane, data } = this.#options
    const position = plane.position(name)
    if (position.txid === 0n) return []
    const log = new LogReader(name, logDirectory(data.dir, name), () => position)
    const first = await log.first()
    // As after a restore: the log goes on from here, and holds nothing yet.
    if (first === undefined) return [position]
    const from = position.txid - BigInt(count) > first ? ((position.txid - BigInt(count)) as TXID) : first
    const positions: Position[] = []
    for await (const { header, postApplyChecksum } of log.records(from, position.txid)) {
      positions.push({ txid: header.maxTXID, checksum: postApplyChecksum })
    }
    positions.reverse()
    return positions.length > 0 ? positions : [position]
  }

  /** What is local of it is kept; it comes anew. `fork`: the last transaction that both histories share. */
  async setAside(name: string, reason: string, fork: TXID | undefined): Promise<void> {
    const { data, plane, logger } = this.#options
    const known = plane.databases.get(name)
    if (known === undefined) return
    const { rejection, state } = known
    const { position } = state()
    const kept =
      rejection === undefined
        ? await keepDiverged(data, { database: name, position, fork, reason })
        : keepRefused(data, name, rejection)
    const fields = { database: name, position: formatPosition(position), reason, kept }
    logger.error(fields, 'set aside what is not part of the history')
  }

  /** Recovery gave up on it, and nobody can have it open. */
  async #discardRefused({ name, rejection = '' }: KnownDatabase): Promise<void> {
    await this.setAside(name, rejection, undefined)
    await this.#add(name).discard()
  }

  #add(name: string): ReplicaDatabase {
    const database = new ReplicaDatabase({
      name,
      send: async (order, body) => this.#client?.send(order, body),
      applied: (position) => this.#applied(database, position),
      failed: (error) => this.#break(database, error.message),
    })
    this.#databases.set(name, database)
    return database
  }

  async #take(name: string): Promise<ReplicaDatabase> {
    const database = this.#add(name)
    const positions = await this.positions(name, POSITIONS_TOLD)
    void this.#openOne(database, positions)
    return database
  }

  /** Nobody waits for a database that an application of former times keeps locked: what comes for it waits in the client. */
  async #openOne(database: ReplicaDatabase, positions: readonly Position[]): Promise<void> {
    try {
      const found = await database.open(positions)
      const expected = positions[0]
      if (expected === undefined) return
      if (found === undefined) this.#break(database, 'its pages are those of no transaction in its log')
      else if (parsePosition(found).txid < expected.txid)
        this.#break(database, 'an earlier client ended in the middle of a write')
    } catch (error) {
      this.#break(database, (error as ReplicaError).message)
    }
  }

  /** The data plane has it by now, or the client wrote something that was not captured: nothing that follows would be, either. */
  #applied(database: ReplicaDatabase, position: Position): void {
    const { name } = database
    const known = this.#options.plane.databases.get(name)
    if (known !== undefined && known.state().position.txid < position.txid) {
      database.uncaptured = true
      this.#break(database, 'what was applied to it was not captured')
    } else {
      this.#options.applied(name, position)
    }
  }

  #break(database: ReplicaDatabase, reason: string): void {
    database.broken = reason
    this.#options.broken(database.name, reason)
  }

  #receive(message: FromClient): void {
    if (message.type === 'closed') return
    const position = message.type === 'applied' ? parsePosition(message.position) : undefined
    this.#databases.get(message.database)?.receive(message, position)
    if (message.type === 'blocked') {
      this.#options.logger.warn({ database: message.database, reason: message.reason }, 'a database lags')
    }
  }

  #clientEnded(client: LocalClientProcess): void {
    for (const database of this.all()) database.abandon()
    if (this.#client === client) this.#options.lost()
  }
}
