/** Makes a level-9 snapshot of a database while it is being written. */

import type { DatabaseOwner } from '../../data/database-owner.ts'
import { SnapshotError } from '../../image/errors.ts'
import { type LiveDatabase as ImagedDatabase, type LiveImage, withLiveImage } from '../../image/live-image.ts'
import { assertDurable } from '../../log/view.ts'
import { EMPTY_CHECKSUM, type Position, toTXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type FileRef, SNAPSHOT_LEVEL } from '../history/layout.ts'
import { putFile } from '../history/put.ts'
import type { OtherObjects } from './upload.ts'

/** A database on this node. */
export interface LiveDatabase extends ImagedDatabase {
  /** The owner of its file, which the backup records. undefined where there is no file. */
  readonly owner?: () => DatabaseOwner | undefined
}

export interface LiveSnapshotOptions {
  /** Where the database file is copied to. On the same file system the copy may cost nothing. */
  readonly temporaryParent: string
  /** Timestamps never decrease within a backup. */
  readonly minTimestampMs: number
  /** The snapshot's time when the log no longer holds its last transaction. */
  readonly nowMs: number
  readonly term?: bigint
  readonly signal?: AbortSignal
  readonly others?: OtherObjects
  readonly attempts?: number
}

const DEFAULT_ATTEMPTS = 4

/**
 * Writes a level-9 snapshot of the newest durable state and returns its position. Returns undefined when there is no
 * database (no transaction yet, or it was dropped). Throws SnapshotError, BackupConflictError.
 */
export async function snapshotLive(
  store: ObjectStore,
  database: LiveDatabase,
  options: LiveSnapshotOptions,
): Promise<LiveSnapshot | undefined> {
  const attempts = options.attempts ?? DEFAULT_ATTEMPTS
  const { signal } = options
  const image = { ...options, checksums: false }
  for (let attempt = 1; ; attempt++) {
    try {
      return await withLiveImage(database, image, (taken) => {
        assertDurable(database.log, taken.position.txid)
        return putSnapshot(store, database, taken, options)
      })
    } catch (error) {
      if (!(error instanceof SnapshotError) || attempt >= attempts) throw error
      signal?.throwIfAborted()
    }
  }
}

export interface LiveSnapshot {
  readonly position: Position
  readonly pageSize: number
  readonly commit: number
  readonly timestampMs: number
}

async function putSnapshot(
  store: ObjectStore,
  { name: database, owner: readOwner }: LiveDatabase,
  image: LiveImage,
  { term, signal, others }: LiveSnapshotOptions,
): Promise<LiveSnapshot> {
  const { position, pageSize, commit, timestampMs } = image
  const file: FileRef = { level: SNAPSHOT_LEVEL, min: toTXID(1), max: position.txid }
  const owner = readOwner?.()
  const put = await putFile(
    store,
    {
      ...file,
      database,
      metadata: {
        timestampMs,
        preApplyChecksum: EMPTY_CHECKSUM,
        postApplyChecksum: position.checksum,
        pageSize,
        commit,
        term: term ?? 0n,
        ...(owner && { owner }),
      },
      body: () => image.bytes(),
    },
    signal,
    others?.resolve,
  )
  await others?.uploaded(file, put, signal)
  return { position, pageSize, commit, timestampMs }
}
