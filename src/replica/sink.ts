import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseOwner } from '../data/database-owner.ts'
import type { DataDirectory } from '../data/directory.ts'
import { type Spool, SpoolFullError } from '../data/spool.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { createLog, logDirectory } from '../log/store.ts'
import type { Position } from '../ltx/format/types.ts'
import { formatChecksum, formatPosition, samePosition } from '../ltx/format/types.ts'
import type { SnapshotHeader, StreamSink, TransactionHeader } from '../stream/replica/sink.ts'
import { DiskSpaceError } from '../util/disk-space.ts'
import { errorCode, errorMessage } from '../util/errors.ts'
import { limitLines, type Logger } from '../util/log.ts'
import type { NodeAddress, NodeName } from '../util/node-address.ts'
import { controllerForMany, unlessAborted } from '../util/waits.ts'
import type { ReplicaDatabase } from './database.ts'
import type { ReplicaDatabases } from './databases.ts'
import { verifySnapshot } from './snapshot-file.ts'

export interface ReplicaSinkOptions {
  readonly self: NodeAddress
  readonly candidate: boolean
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly databases: ReplicaDatabases
  readonly spool: Spool
  readonly logger: Logger
  readonly caughtUp: (term: bigint | undefined) => void
  readonly alive: (lagMs: number) => void
  /** A database was replaced by a snapshot. */
  readonly resynced: (database: string) => void
}

const MAX_HISTORY = 4096
type AdvanceOrder = Parameters<ReplicaDatabase['advance']>[0]

/** How often a transfer that waits for room on the disk looks for it. */
const ROOM_MS = 500

/** Passes the primary's stream to the local client. */
export class ReplicaSink implements StreamSink {
  readonly self: NodeAddress
  readonly candidate: boolean
  readonly #options: ReplicaSinkOptions
  /** Databases whose local files were moved aside. Since then they contain only the primary's transactions. */
  readonly #setAside = new Set<string>()
  /** Every database may wait. */
  #waits = controllerForMany()
  #caughtUp: Promise<unknown> = Promise.resolve()

  constructor(options: ReplicaSinkOptions) {
    this.#options = { ...options, logger: limitLines(options.logger) }
    this.self = options.self
    this.candidate = options.candidate
  }

  clusterId(): string | undefined {
    return this.#options.data.clusterId()
  }

  adoptCluster(id: string): void {
    this.#options.data.joinCluster(id)
  }

  nodes(nodes: readonly NodeName[]): void {
    this.#options.data.knownNodes.announced(nodes)
  }

  term(): bigint {
    return this.#options.data.term()
  }

  positions(): ReadonlyMap<string, Position> {
    const positions = new Map<string, Position>()
    for (const { name, rejection, state } of this.#options.plane.databases.values()) {
      const { position } = state()
      if (rejection === undefined && position.txid > 0n) positions.set(name, position)
    }
    return positions
  }

  has(name: string): boolean {
    return this.#options.plane.databases.has(name)
  }

  history(name: string): Promise<readonly Position[]> {
    return this.#options.databases.history(name, MAX_HISTORY)
  }

  owner(name: string, owner: DatabaseOwner): Promise<void> {
    return this.#options.databases.own(name, owner)
  }

  async transaction(
    name: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    { sizeBytes }: TransactionHeader,
  ): Promise<void> {
    const database = await this.#options.databases.get(name)
    await database.apply(bytes instanceof Uint8Array ? bytes : await this.#spooled(database, bytes, sizeBytes))
  }

  async snapshot(name: string, header: SnapshotHeader, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const { data, databases, logger, resynced } = this.#options
    const { position, preApplyChecksum, timestampMs, sizeBytes, reason, diverged, fork } = header
    const { signal } = this.#waits
    const { file } = await this.#spooled(await databases.get(name), bytes, sizeBytes)
    let isOrdered = false
    try {
      await verifySnapshot(data.files.at(file), position)
      logger.warn(
        { database: name, position: formatPosition(position), reason },
        'applying a snapshot from the primary',
      )
      if (diverged || (fork === undefined && this.#mayHaveOwn(name))) {
        await databases.setAside(name, reason, fork, signal)
        this.#setAside.add(name)
      }
      const database = await databases.get(name)
      await this.#unlessInterrupted(database.idle())
      if (database.uncaptured) await this.#unlessInterrupted(database.discard())
      isOrdered = true
      await this.#advance(database, {
        ...{ file, whole: true, position: formatPosition(position), timestampMs },
        ...(preApplyChecksum !== 0n && { preApplyChecksum: formatChecksum(preApplyChecksum) }),
      })
    } catch (error) {
      // What the client was told to do it does in its time, and removes the file.
      if (!isOrdered || !signal.aborted) data.files.remove(file)
      throw error
    }
    resynced(name)
  }

  /** A plain file that has the database's name is moved away. */
  async #advance(database: ReplicaDatabase, order: AdvanceOrder): Promise<void> {
    const { databases, logger } = this.#options
    const { name } = database
    try {
      await this.#unlessInterrupted(database.advance(order))
    } catch (error) {
      if (errorCode(error) !== 'APPLY_NOT_DATABASE') throw error
      const { file, isNew } = await databases.rejected.save(name, errorMessage(error), this.#waits.signal)
      if (isNew)
        logger.warn({ database: name, file }, 'a plain file has the name of a database of the primary: moved it aside')
      await this.#unlessInterrupted(database.discard())
      await this.#unlessInterrupted(database.advance(order))
    }
  }

  async unknown(name: string, dropped?: Position): Promise<void> {
    const { data, databases, plane } = this.#options
    const known = plane.databases.get(name)
    const noted = known === undefined ? plane.droppedAt(name) : undefined
    if (noted !== undefined && dropped !== undefined && samePosition(noted, dropped)) return
    const database = await databases.get(name)
    const { signal } = this.#waits
    await this.#unlessInterrupted(database.idle())
    const isTracked = known?.state().tracked === true
    if (isTracked && (dropped === undefined || this.#mayHaveOwn(name)))
      await databases.setAside(name, 'the primary has no such database', undefined, signal)
    await this.#unlessInterrupted(database.discard())
    // After the discard, which removes the log. A database that is made anew comes through this lane, after this.
    if (dropped !== undefined) createLog(data.files, logDirectory(data.dir, name), dropped)
  }

  caughtUp(term: bigint | undefined): Promise<boolean> {
    return (this.#caughtUp = this.#whenApplied(term))
  }

  /** Resolves when everything that was received is applied, and noted. */
  async idle(): Promise<void> {
    await this.#options.databases.idle()
    await this.#caughtUp.catch(() => undefined)
  }

  async #whenApplied(term: bigint | undefined): Promise<boolean> {
    const { databases, caughtUp } = this.#options
    await databases.idle()
    for (const { isWhole } of databases.all()) if (!isWhole) return false
    caughtUp(term)
    return true
  }

  alive(lagMs: number): void {
    this.#options.alive(lagMs)
  }

  /** The stream ends: until `resume`, nothing waits for room on the disk, nor for an application to let go. */
  interrupt(): void {
    this.#waits.abort()
  }

  resume(): void {
    this.#waits = controllerForMany()
  }

  /** What the client has been told to do it does in its time. */
  async #unlessInterrupted(work: Promise<void>): Promise<void> {
    work.catch(() => undefined)
    await unlessAborted(this.#waits.signal, work)
  }

  /**
   * On a full disk, and in a full spool, it waits for room, for as long as the transfer lasts: to ask for a snapshot
   * would need more.
   */
  async #spooled(
    database: ReplicaDatabase,
    bytes: AsyncIterable<Uint8Array> & { readonly failed?: boolean },
    sizeBytes: number,
  ): Promise<{ file: string; sizeBytes: number }> {
    const { spool, logger } = this.#options
    const { signal } = this.#waits
    for (let attempts = 0; ; attempts++) {
      try {
        const written = await spool.write(bytes, sizeBytes)
        if (attempts > 0) database.failing = undefined
        return written
      } catch (error) {
        const isFull = error instanceof SpoolFullError
        if (!isFull && !(error instanceof DiskSpaceError)) throw error
        // Its reader gets the reason.
        if (bytes.failed === true) for await (const chunk of bytes) void chunk
        const line = { database: database.name, err: error }
        if (attempts === 0) logger[isFull ? 'info' : 'error'](line, 'a transfer waits for room on the disk')
        database[isFull ? 'waiting' : 'failing'] = error.message
      }
      await sleep(ROOM_MS, undefined, { signal }).finally(() => (database.waiting = undefined))
    }
  }

  /**
   * Whether the local database may have transactions that no other node has. A node that never led has none.
   */
  #mayHaveOwn(name: string): boolean {
    const { data, plane } = this.#options
    const tracked = plane.databases.get(name)?.state().tracked === true
    return tracked && data.mayHaveLed() && !this.#setAside.has(name)
  }
}
