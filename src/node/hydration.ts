/** Reconciles the data directory with the backup before the node serves. */

import fs from 'node:fs'
import path from 'node:path'
import { BackupUnrelatedError } from '../backup/history/errors.ts'
import { NEWEST } from '../backup/history/plan.ts'
import type { BackupPosition } from '../backup/history/position.ts'
import { restoreDatabase } from '../backup/restore/restore.ts'
import type { BackedUpDatabase } from '../backup/ship/boot.ts'
import { listBackup } from '../backup/ship/boot.ts'
import { reconcileWithBackup } from '../backup/ship/reconcile.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { LogReader } from '../log/reader.ts'
import { listSegments } from '../log/segments.ts'
import { createLog, logDirectory } from '../log/store.ts'
import { EMPTY_CHECKSUM, formatPosition, formatTXID } from '../ltx/format/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { BY_UMASK } from '../util/directories.ts'
import { LtxdError } from '../util/errors.ts'
import { replaceFile } from '../util/files.ts'
import { LinkedNameError } from '../util/files-beneath.ts'
import type { Logger } from '../util/log.ts'

export interface HydrationOptions {
  readonly store: ObjectStore
  readonly data: DataDirectory
  readonly logger: Logger
  readonly signal: AbortSignal | undefined
}

/**
 * Restores every database that the backup has and the data directory lacks. Must run before recovery. An interrupted
 * restore leaves a log without a file, which the next start treats as missing.
 */
export async function hydrateMissing(options: HydrationOptions): Promise<void> {
  const { data, store } = options
  const { files } = data
  for (const { name, position } of await listBackup(store)) {
    const hasFile = files.exists(`${data.root}/${name}`)
    const logDir = logDirectory(data.dir, name)
    const known = hasFile ? files.exists(`${logDir}/base.json`) : listSegments(files, logDir).length > 0
    if (known) continue
    if (position.state === 'empty') continue
    if (hasFile) throw new UnknownFileError(name, data.root, store.url, position)
    try {
      await hydrate(options, name, position)
    } catch (error) {
      if (!(error instanceof LinkedNameError)) throw error
      options.logger.error({ database: name, err: error }, 'not restored from the backup: a link is in its place')
    }
  }
}

/**
 * Compares the recovered databases with the backup. The backup wins where it is ahead, and where the histories diverge.
 */
export async function reconcileAll(options: HydrationOptions, plane: DataPlane): Promise<void> {
  for (const backedUp of await listBackup(options.store)) {
    const database = plane.databases.get(backedUp.name)
    if (database !== undefined && database.rejection === undefined)
      await reconcileOne(options, plane, database, backedUp)
  }
}

async function reconcileOne(
  options: HydrationOptions,
  plane: DataPlane,
  database: KnownDatabase,
  { name, history, position }: BackedUpDatabase,
): Promise<void> {
  const { store, data, logger, signal } = options
  const log = new LogReader(name, logDirectory(data.dir, name), () => database.state().position)
  const { relation, detail } = await reconcileWithBackup(log, store, history, position, {
    ...(signal && { signal }),
    onReading: () => logger.info({ database: name }, 'the backup has no checksums: comparing its pages'),
  })
  switch (relation) {
    case 'equal':
    case 'backup-behind':
    case 'gap':
      // Uploads continue from there; a snapshot bridges a gap.
      return
    case 'backup-ahead':
      logger.warn(
        { database: name, local: formatPosition(log.position()), backup: formatTXID(position.txid) },
        'the backup is ahead on the same history: restoring it',
      )
      removeLocal(data, name)
      break
    case 'diverged':
      logger.error(
        { database: name, reason: detail, file: setAside(data, name, detail) },
        'the local history diverges from the backup: moved the local files aside, restoring the backup',
      )
      break
    case 'within':
      logger.warn(
        { database: name, reason: detail, file: setAside(data, name, detail) },
        'the backup is ahead, but may lack local transactions: moved the local files aside, restoring the backup',
      )
      break
    case 'unknown':
      throw new BackupUnrelatedError(store.url, name, detail)
  }
  await hydrate(options, name, position)
  await plane.recover(name)
}

async function hydrate(
  { store, data, logger, signal }: HydrationOptions,
  name: string,
  position: BackupPosition,
): Promise<void> {
  const { files } = data
  const logDir = logDirectory(data.dir, name)
  // First: nothing is restored to a name that a link leads elsewhere.
  files.makeDirectory(path.dirname(`${data.root}/${name}`), BY_UMASK)
  fs.rmSync(logDir, { recursive: true, force: true })
  if (position.state === 'dropped') {
    createLog(files, logDir, { txid: position.txid, checksum: EMPTY_CHECKSUM })
    return
  }
  const started = performance.now()
  const temporary = `${data.dir}/hydrating/${name}`
  fs.rmSync(temporary, { force: true })
  files.makeDirectory(path.dirname(temporary))
  const result = await restoreDatabase(store, name, NEWEST, temporary, { ...(signal && { signal }) })
  createLog(files, logDir, { txid: result.txid, checksum: result.checksum })
  files.rename(temporary, `${data.root}/${name}`)
  files.syncDirectory(path.dirname(`${data.root}/${name}`))
  const durationMs = Math.round(performance.now() - started)
  logger.info(
    { database: name, position: formatPosition(result), pages: result.commit, durationMs },
    'restored from the backup',
  )
}

/** Removes a database's local files and log. The backup has all of it. */
function removeLocal({ dir, root, files }: DataDirectory, name: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) files.remove(`${root}/${name}${suffix}`)
  fs.rmSync(logDirectory(dir, name), { recursive: true, force: true })
}

/** Moves the local file and its log to `diverged/`, with a report. Returns the new directory. */
function setAside({ dir, root, files }: DataDirectory, name: string, detail: string): string {
  const aside = `${dir}/diverged/${name}/${new Date().toISOString().replace(/[:.]/g, '-')}`
  files.makeDirectory(aside)
  fs.renameSync(logDirectory(dir, name), `${aside}/log`)
  files.rename(`${root}/${name}`, `${aside}/database`)
  const report = JSON.stringify({ database: name, reason: detail, setAside: new Date() }, null, 2) + '\n'
  replaceFile(files, `${aside}/report.json`, Buffer.from(report))
  return aside
}

class UnknownFileError extends LtxdError {
  constructor(name: string, root: string, url: string, { txid }: BackupPosition) {
    super(
      'DATABASE_UNKNOWN',
      `${root}/${name} has no LTX log, but ${url} holds a history of ${name} up to transaction ${formatTXID(txid)}: ` +
        'ltxd cannot know whether they belong together. Move the file away to restore the backup, or name another backup',
    )
  }
}
