import type { DatabaseOwner } from '../data/database-owner.ts'
import type { DataDirectory } from '../data/directory.ts'
import { saveDiverged } from '../data/diverged.ts'
import type { Owners } from '../data/owners.ts'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { formatPosition, parsePosition } from '../ltx/format/types.ts'
import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { Repeated } from '../util/repeated.ts'
import { controllerForMany } from '../util/waits.ts'
import type { FromClient } from './client/messages.ts'
import type { ReplicaError } from './database.ts'
import { ReplicaDatabase } from './database.ts'
import { historyOf, newestPositions } from './history.ts'
import { LocalClientProcess } from './local-client.ts'
import { RejectedFiles } from './rejected-files.ts'
import type { ReplicationStatus } from './status.ts'

export interface ReplicaDatabasesOptions {
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly mountDir: string
  readonly owners: Owners
  readonly logger: Logger
  readonly applied: (database: string, position: Position) => void
  /** Only a snapshot can continue the database. */
  readonly broken: (database: string, reason: string) => void
  /** An application holds a lock that the local client needs. */
  readonly heldUp: () => void
  /** The local client has ended unexpectedly. */
  readonly lost: () => void
  /** Only this database, by a client beside the one of a primary. Default: all. */
  readonly late?: string
}

/**
 * How many positions a new client compares with a database's pages: more than the transactions that a client can leave
 * unpublished when it dies.
 */
const MAX_POSITIONS = 1024

/** The databases of a replica. The local client applies to them, and takes SQLite's write locks for that. */
export class ReplicaDatabases {
  readonly #options: ReplicaDatabasesOptions
  readonly #databases = new Map<string, ReplicaDatabase>()
  /** What is reported of a database once a minute: applications come and go. */
  readonly #repeated = new Repeated()
  readonly logger: Logger
  readonly rejected: RejectedFiles
  readonly #memory = { bytes: 0 }
  #isUnbounded = false
  readonly #stop = controllerForMany()
  #client: LocalClientProcess | undefined

  constructor(options: ReplicaDatabasesOptions) {
    this.#options = options
    this.logger = options.logger
    this.rejected = new RejectedFiles(options.data)
  }

  /** Starts a client, which opens all databases. After an error the client ends, so `lost` is called, too. */
  async open(): Promise<void> {
    const { data, plane, mountDir, logger, late } = this.#options
    this.#databases.clear()
    const options = { data, plane, mountDir, logger, isLate: late !== undefined }
    const client = new LocalClientProcess({ ...options, received: (message) => this.#receive(message) })
    this.#client = client
    void client.ended.then(() => this.#clientEnded(client))
    try {
      for (const known of plane.databases.values()) {
        if (late !== undefined && known.name !== late) continue
        await this.#openKnown(known)
      }
    } catch (error) {
      client.kill()
      throw error
    }
  }

  /** Nothing more is applied, and the client holds all write locks. */
  async finish(): Promise<void> {
    await this.#client?.finish()
  }

  /** Releases all locks. */
  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.close()
  }

  /** The node stops: what is being moved aside is left where it is. */
  interrupt(): void {
    this.#stop.abort(new LtxdError('STOPPING', 'the node stops following'))
  }

  /** What waits for the client goes on, with an error. `lost` is called. */
  readonly kill = () => this.#client?.kill()
  readonly work = () => this.#client?.work()

  /** Whether the client, where there is one, answers within the time. */
  readonly answers = async (withinMs: number) => (await this.#client?.answers(withinMs)) ?? true

  /** Whether transactions go to the client however many wait there. */
  takeAll(unbounded: boolean): void {
    this.#isUnbounded = unbounded
    for (const database of this.all()) database.unbounded = unbounded
  }

  all(): IterableIterator<ReplicaDatabase> {
    return this.#databases.values()
  }

  async get(name: string): Promise<ReplicaDatabase> {
    const problem = databaseNameProblem(name)
    if (problem !== undefined) throw new Error(`the primary sent an invalid database name: ${problem}`)
    return this.#databases.get(name) ?? (await this.#addAndOpen(name))
  }

  /** The database has this owner elsewhere. */
  async own(name: string, owner: DatabaseOwner): Promise<void> {
    const { owners } = this.#options
    // What was given once is left alone, as an administrator of this node may have changed it.
    const news = owners.isNews(name, owner)
    await (await this.get(name)).own(owners.wish(name, owner), news)
  }

  /** Only the position of the database's drop remains, here and in the client. */
  released(name: string): void {
    const database = this.#databases.get(name)
    if (database === undefined || database.behind > 0) return
    this.#databases.delete(name)
    void this.#client?.send({ type: 'forget', database: name })
  }

  /** How long the oldest order that is not executed yet has waited, over all databases. */
  unappliedMs(): number {
    let longest = 0
    for (const { waitingMs } of this.all()) longest = Math.max(longest, waitingMs)
    return longest
  }

  /** Resolves when the client has answered every order. */
  async idle(): Promise<void> {
    await Promise.all(Array.from(this.all(), (database) => database.idle()))
  }

  status(name: string): ReplicationStatus | undefined {
    const database = this.#databases.get(name)
    if (database === undefined) return undefined
    const { broken, blocked = database.waiting, failing, behind } = database
    if (broken !== undefined) return { state: 'resyncing', reason: failing ?? broken }
    if (failing !== undefined) return { state: 'failing', behind, reason: failing }
    if (blocked !== undefined) return { state: 'lagging', behind, reason: blocked }
    return { state: 'following', ...(behind > 0 && { behind }) }
  }

  /** Why no transaction of the database can be applied before a snapshot. */
  broken(name: string): string | undefined {
    return this.#databases.get(name)?.broken
  }

  readonly failure = (name: string) => this.#databases.get(name)?.failing

  /** The newest positions in the log, newest first. */
  readonly positions = (name: string, count: number) => newestPositions(this.#log(name), count)

  /** At most `most` positions in the database's log, newest first, by which the primary finds the last shared one. */
  history(name: string, most: number): Promise<Position[]> {
    const log = this.#log(name)
    return historyOf(log, log.position(), most)
  }

  #log(name: string): LogReader {
    const { plane, data } = this.#options
    const position = plane.position(name)
    return new LogReader(data.files, name, logDirectory(data.dir, name), () => position)
  }

  /** Moves the local database aside, before it is replaced. `fork`: the last transaction that both histories share. */
  async setAside(name: string, reason: string, fork: TXID | undefined, signal = this.#stop.signal): Promise<void> {
    const { data, plane, logger } = this.#options
    const known = plane.databases.get(name)
    if (known === undefined) return
    const { position } = known.state()
    const { rejection } = known
    const file =
      rejection === undefined
        ? await saveDiverged(data, { database: name, position, fork, reason }, signal)
        : (await this.rejected.save(name, rejection, signal)).file
    const fields = { database: name, position: formatPosition(position), reason, file }
    logger.error(fields, 'the local database is not part of the history: moved its files aside')
  }

  /** What is wrong with one database ends no change of role: only a snapshot can continue it. */
  async #openKnown(known: KnownDatabase): Promise<void> {
    const { name, rejection, state } = known
    try {
      if (rejection !== undefined) await this.#discardRejected(known)
      else if (state().position.txid > 0n) await this.#addAndOpen(name)
    } catch (error) {
      if (['CLIENT_LOST', 'ERR_ASSERTION'].includes(errorCode(error) ?? '')) throw error
      this.#markBroken(this.#databases.get(name) ?? this.#add(name), errorMessage(error))
    }
  }

  /** Recovery rejected the database, so no application can have it open. */
  async #discardRejected({ name, rejection = '' }: KnownDatabase): Promise<void> {
    await this.setAside(name, rejection, undefined)
    await this.#add(name).discard()
  }

  #add(name: string): ReplicaDatabase {
    const database = new ReplicaDatabase({
      name,
      send: async (order, body) => this.#client?.send(order, body),
      applied: (position) => this.#applied(database, position),
      failed: (error) => this.#markBroken(database, error.message),
      memory: this.#memory,
    })
    database.unbounded = this.#isUnbounded
    if (this.#client === undefined) database.abandon()
    this.#databases.set(name, database)
    return database
  }

  async #addAndOpen(name: string): Promise<ReplicaDatabase> {
    const database = this.#add(name)
    const { owners } = this.#options
    if (owners.hasOverride) await database.own(owners.wish(name), true)
    const positions = await this.positions(name, MAX_POSITIONS)
    void this.#openOne(database, positions)
    return database
  }

  /**
   * Does not wait for a database that a connection from before the demotion keeps locked. Its transactions queue in the
   * local client.
   */
  async #openOne(database: ReplicaDatabase, positions: readonly Position[]): Promise<void> {
    try {
      const found = await database.open(positions)
      const expected = positions[0]
      if (expected === undefined) return
      if (found === undefined) this.#markBroken(database, 'its pages match no transaction in its log')
      else if (parsePosition(found).txid < expected.txid)
        this.#markBroken(database, 'an earlier client ended in the middle of a write')
    } catch (error) {
      this.#markBroken(database, (error as ReplicaError).message)
    }
  }

  /** Checks that the data plane captured the transaction. If not, it will not capture later ones either. */
  #applied(database: ReplicaDatabase, position: Position): void {
    const { name } = database
    const known = this.#options.plane.databases.get(name)
    if (known !== undefined && known.state().position.txid < position.txid) {
      database.uncaptured = true
      this.#markBroken(database, 'an applied transaction was not captured')
    } else {
      this.#options.applied(name, position)
    }
  }

  #markBroken(database: ReplicaDatabase, reason: string): void {
    database.broken = reason
    this.#options.broken(database.name, reason)
  }

  #receive(message: FromClient): void {
    if (!('database' in message)) return
    if (message.type === 'checkpoint-failed') {
      const { database, code, message: reason } = message
      if (!this.#repeated.isDue(database, code, reason)) return
      return this.#options.logger.error({ database, code, reason }, 'a checkpoint failed: it is retried')
    }
    if (message.type === 'owned') return this.#options.owners.given(message.database)
    if (message.type === 'unowned') return this.#options.owners.notGiven(message.database, message.reason)
    const position = message.type === 'applied' ? parsePosition(message.position) : undefined
    this.#databases.get(message.database)?.receive(message, position)
    if (message.type !== 'blocked') return
    const { database, reason, isFailure } = message
    this.#options.heldUp()
    if (isFailure) this.#options.logger.error({ database, reason }, 'a transaction is not applied: it is retried')
    else if (this.#repeated.isDue(database)) this.#options.logger.warn({ database, reason }, 'the database lags')
  }

  /** Whoever waits for the client goes on with an error, also who comes before there is a new one. */
  #clientEnded(client: LocalClientProcess): void {
    for (const database of this.all()) database.abandon()
    if (this.#client !== client) return
    this.#client = undefined
    this.#options.lost()
  }
}
