import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type ImageFile, writeImageFile } from '../../image/image-file.ts'
import { makeTemporaryDirectory } from '../../image/spill.ts'
import type { TXID } from '../../ltx/format/types.ts'
import { aborted, unlessAborted } from '../../util/waits.ts'
import { deferred } from '../wire/signal.ts'
import { continuation, isLogMoved } from './continuation.ts'
import { Room, type RoomLimits } from './room.ts'
import type { StreamedDatabase } from './source.ts'

/** Bounds for the snapshots of all replicas together, and their temporary files. */
const SNAPSHOT_LIMITS: RoomLimits = { count: 4, sizeBytes: 4 * 1024 ** 3 }

const READ_CHUNK_BYTES = 128 * 1024

export interface Snapshot extends Omit<ImageFile, 'path'> {
  /** The LTX file. */
  bytes(): AsyncIterable<Uint8Array>
}

/** A snapshot that is waiting for its turn, being encoded, or read by its users. */
interface Shared {
  readonly database: StreamedDatabase
  readonly abandoned: AbortController
  readonly image: Promise<ImageFile | undefined>
  users: number
}

/**
 * The snapshots on their way to all replicas. Replicas that need the same database share one, for as long as the log
 * continues it. The number of snapshots and their bytes on disk are bounded; further ones wait for their turn.
 */
export class Snapshots {
  readonly #temporaryParent: string
  readonly #room: Room
  /** The newest of each database. */
  readonly #shared = new Map<string, Shared>()

  constructor(temporaryParent: string, limits: RoomLimits = SNAPSHOT_LIMITS) {
    this.#temporaryParent = temporaryParent
    this.#room = new Room(limits)
  }

  /**
   * Calls `send` with a snapshot, whose file exists until `send` has ended. It is at least as new as transaction
   * `newest`, which the replica may have, or as the log (I8). Returns undefined when there is no database. Throws
   * SnapshotError, and the reason of `signal`.
   */
  async use<T>(
    database: StreamedDatabase,
    newest: TXID,
    signal: AbortSignal,
    send: (snapshot: Snapshot) => Promise<T>,
  ): Promise<T | undefined> {
    for (;;) {
      signal.throwIfAborted()
      const here = database.log.position().txid
      const known = this.#shared.get(database.name)
      const shared = known?.database.log === database.log ? known : this.#begin(database)
      shared.users++
      try {
        const image = await unlessAborted(signal, shared.image)
        if (image === undefined) return undefined
        const isNew = shared !== known
        if (isNew || (image.position.txid >= min(newest, here) && (await isContinued(image, database)))) {
          return await send({
            ...image,
            bytes: () => createReadStream(image.path, { highWaterMark: READ_CHUNK_BYTES }),
          })
        }
        this.#forget(shared)
      } finally {
        this.#leave(shared)
      }
    }
  }

  #begin(database: StreamedDatabase): Shared {
    const abandoned = new AbortController()
    const encoded = deferred<ImageFile | undefined>()
    const running = this.#run(database, abandoned.signal, (image) => encoded.resolve(image))
    const image = Promise.race([encoded.promise, running])
    image.catch(() => undefined)
    const shared: Shared = { database, abandoned, image, users: 0 }
    this.#shared.set(database.name, shared)
    const ended = () => this.#forget(shared)
    running.then(ended, ended)
    return shared
  }

  #leave(shared: Shared): void {
    if (--shared.users > 0) return
    this.#forget(shared)
    shared.abandoned.abort(new Error('no replica needs the snapshot any more'))
  }

  #forget(shared: Shared): void {
    if (this.#shared.get(shared.database.name) === shared) this.#shared.delete(shared.database.name)
  }

  /** Encodes a snapshot when its turn has come, and removes it when `signal` is aborted. */
  async #run(database: StreamedDatabase, signal: AbortSignal, encoded: (image: ImageFile) => void): Promise<undefined> {
    // A copy of the database's file, and its encoded form beside it.
    const admission = await this.#room.enter(2 * (await fileSize(database.filePath)), signal)
    try {
      const directory = await makeTemporaryDirectory(this.#temporaryParent)
      try {
        const options = { temporaryParent: directory.path, nowMs: Date.now(), checksums: true, signal }
        const image = await writeImageFile(database, options, join(directory.path, 'image.ltx'))
        if (image === undefined) return
        admission.shrinkTo(image.sizeBytes)
        encoded(image)
        await aborted(signal)
      } finally {
        await directory.remove()
      }
    } finally {
      admission.leave()
    }
  }
}

/** Whether the log holds what follows the snapshot. */
async function isContinued({ position }: ImageFile, { log }: StreamedDatabase): Promise<boolean> {
  try {
    const { kind } = await continuation(log, position, log.position())
    return kind === 'nothing' || kind === 'transactions'
  } catch (error) {
    if (isLogMoved(error)) return false
    throw error
  }
}

function min(a: TXID, b: TXID): TXID {
  return a < b ? a : b
}

/** Zero for a file that is missing, for which the image has the error. */
async function fileSize(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}
