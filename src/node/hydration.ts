/** Reconciles the data directory with the backup before the node serves. */

import path from 'node:path'
import pLimit from 'p-limit'
import { BackupUnrelatedError } from '../backup/history/errors.ts'
import { isStoreFailure } from '../backup/history/outage.ts'
import { NEWEST } from '../backup/history/plan.ts'
import type { BackupPosition } from '../backup/history/position.ts'
import { restoreDatabase } from '../backup/restore/restore.ts'
import type { BackedUpDatabase } from '../backup/ship/boot.ts'
import { listBackup } from '../backup/ship/boot.ts'
import { reconcileWithBackup } from '../backup/ship/reconcile.ts'
import { giveDatabase, makeFolders } from '../data/database-owner.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { Owners } from '../data/owners.ts'
import { installRestored, type Restored, restoringPath } from '../data/restored.ts'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { droppedAt } from '../log/dropped.ts'
import { LogReader } from '../log/reader.ts'
import { listSegments } from '../log/segments.ts'
import { logDirectory } from '../log/store.ts'
import { EMPTY_CHECKSUM, formatPosition, formatTXID } from '../ltx/format/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { asError, LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { shorten } from '../util/shorten.ts'
import { writeState } from '../util/state-file.ts'
import { reasonOf } from './rejection-reason.ts'

export interface HydrationOptions {
  readonly store: ObjectStore
  readonly data: DataDirectory
  readonly owners: Owners
  readonly logger: Logger
  readonly signal: AbortSignal | undefined
}

/**
 * While this file exists, the data directory lacks databases that the backup has: a node that starts does so only with
 * the backup. Version 0.1 does not know it.
 */
function incompletePath({ dir }: Pick<DataDirectory, 'dir'>): string {
  return `${dir}/incomplete.json`
}

/** An earlier start did not restore all of the backup's databases. */
export function isIncomplete(data: DataDirectory): boolean {
  return data.files.exists(incompletePath(data))
}

/**
 * Restores every database that the backup has and the data directory lacks. Must run before recovery. An interrupted
 * restore leaves a log without a file, which the next start treats as missing. Returns why a database must not be
 * served, by its name: an error that concerns one database alone stops no other.
 */
export async function hydrateMissing(options: HydrationOptions): Promise<Map<string, string>> {
  const { data, store } = options
  const rejections = new Map<string, string>()
  const unreadable = new Map<string, unknown>()
  const backedUpDatabases = await listBackup(
    store,
    (name, error) => unreadable.set(name, error),
    (name) => warnOfName(options, name),
  )
  let isMissing = false
  const failed = async (name: string, error: unknown) => {
    rejections.set(name, await reasonOf(error, options, backedUpDatabases))
    isMissing ||= isRestorable(data, name)
  }
  const attempt = async (name: string, act: () => Promise<void> | void) => {
    try {
      await act()
    } catch (error) {
      await failed(name, error)
    }
  }
  for (const [name, error] of unreadable) {
    await attempt(name, () => {
      if (!isKnown(data, name)) throw asError(error)
    })
  }
  const lacking: BackedUpDatabase[] = []
  for (const backedUp of backedUpDatabases) {
    await attempt(backedUp.name, () => {
      if (isLacking(options, backedUp)) lacking.push(backedUp)
    })
  }
  if (lacking.length > 0) writeIncomplete(options)
  await each(lacking, (backedUp) => attempt(backedUp.name, () => hydrate(options, backedUp)))
  if (isMissing) writeIncomplete(options)
  else data.files.remove(incompletePath(data))
  return rejections
}

function warnOfName({ store, logger }: HydrationOptions, name: string): void {
  const fields = { name: shorten(name, 100), url: store.url, reason: databaseNameProblem(name) ?? '' }
  logger.warn(
    fields,
    'the backup has a name that no database can have, which is skipped: rename its prefix to restore it',
  )
}

/** The database is to be restored. Throws UnknownFileError where a file that nothing is known of has its name. */
function isLacking({ data, store }: HydrationOptions, { name, position }: BackedUpDatabase): boolean {
  if (position.state === 'empty' || isKnown(data, name) || isDroppedSince(data, name, position)) return false
  if (data.files.exists(`${data.root}/${name}`)) throw new UnknownFileError(name, data.root, store.url, position)
  return true
}

/** The name can have a database here, and has none. */
function isRestorable({ root, files }: DataDirectory, name: string): boolean {
  try {
    return databaseNameProblem(name) === undefined && !files.exists(`${root}/${name}`)
  } catch {
    // It leads through a link.
    return false
  }
}

function writeIncomplete({ data, store }: HydrationOptions): void {
  if (!isIncomplete(data)) writeState(data.files, incompletePath(data), INCOMPLETE_FORMAT, { url: store.url })
}

/** Several databases at once. After an error no other begins, and those that have begun end first. */
async function each(
  databases: readonly BackedUpDatabase[],
  act: (it: BackedUpDatabase) => Promise<void>,
): Promise<void> {
  const errors: unknown[] = []
  await pLimit(AT_ONCE).map(databases, async (database) => {
    if (errors.length === 0) await act(database).catch((error: unknown) => errors.push(error))
  })
  if (errors.length > 0) throw errors[0]
}

function isKnown({ dir, root, files }: DataDirectory, name: string): boolean {
  const logDir = logDirectory(dir, name)
  return files.exists(`${root}/${name}`) ? files.exists(`${logDir}/base.json`) : listSegments(files, logDir).length > 0
}

const INCOMPLETE_FORMAT = 1

const SET_ASIDE = 'moved the local files aside, and restored the backup'

/** How many databases are restored, or compared, at once. */
const AT_ONCE = 8

/** Whether the database was dropped here, at or after the end of its backup. Throws StateDamagedError. */
function isDroppedSince({ dir, root, files }: DataDirectory, name: string, { txid }: BackupPosition): boolean {
  const drop = files.exists(`${root}/${name}`) ? undefined : droppedAt(files, logDirectory(dir, name))
  return drop !== undefined && drop.txid >= txid
}

const NOT_COMPARED = 'not compared with its backup, which cannot be read now: it is served as it is here'

/**
 * Compares the recovered databases with the backup. The backup wins where it is ahead, and where the histories diverge.
 */
export async function reconcileAll(options: HydrationOptions, plane: DataPlane): Promise<void> {
  const failures = new Map<string, unknown>()
  // The data plane recovers one database at a time.
  const recovering = pLimit(1)
  const recover = (name: string) => recovering(() => plane.recover(name))
  const unread = new Map<string, unknown>()
  const listed = await listBackup(options.store, (name, error) => unread.set(name, error))
  await each(listed, async (backedUp) => {
    const database = plane.databases.get(backedUp.name)
    if (database === undefined || database.rejection !== undefined) return
    try {
      if (await reconcileOne(options, database, backedUp)) await recover(backedUp.name)
    } catch (error) {
      failures.set(backedUp.name, error)
    }
  })
  for (const [name, error] of unread) {
    // It may be this node's alone, and is compared again before anything of it is shipped.
    if (!isStoreFailure(error)) failures.set(name, error)
    else options.logger.warn({ database: name, reason: await reasonOf(error, options, listed) }, NOT_COMPARED)
  }
  for (const [name, error] of failures) {
    const reason = await reasonOf(error, options, listed)
    if (plane.databases.get(name)?.rejection === undefined) await plane.rejectAtStart(name, reason)
  }
}

/** Whether the local database was replaced. */
async function reconcileOne(
  options: HydrationOptions,
  database: KnownDatabase,
  backedUp: BackedUpDatabase,
): Promise<boolean> {
  const { name, history, position } = backedUp
  const { store, data, logger, signal } = options
  const log = new LogReader(data.files, name, logDirectory(data.dir, name), () => database.state().position)
  const { relation, detail } = await reconcileWithBackup(log, store, history, position, {
    ...(signal && { signal }),
    onReading: () => logger.info({ database: name }, 'the backup has no checksums: comparing its pages'),
  })
  switch (relation) {
    case 'equal':
    case 'backup-behind':
    case 'gap':
      // Uploads continue from there; a snapshot bridges a gap.
      return false
    case 'backup-ahead':
      logger.warn(
        { database: name, local: formatPosition(log.position()), backup: formatTXID(position.txid) },
        'the backup is ahead on the same history: restoring it',
      )
      await hydrate(options, backedUp)
      return true
    case 'diverged':
    case 'within': {
      const aside = { path: asidePath(name), reason: detail }
      await hydrate(options, backedUp, aside)
      const fields = { database: name, reason: detail, file: `${data.dir}/${aside.path}` }
      if (relation === 'diverged') logger.error(fields, `the local history diverges from the backup: ${SET_ASIDE}`)
      else logger.warn(fields, `the backup is ahead, but may lack local transactions: ${SET_ASIDE}`)
      return true
    }
    case 'unknown':
      throw new BackupUnrelatedError(store.url, name, detail)
  }
}

/**
 * Restores a database, and then puts it in the place of what is here, which is removed or moved aside. Until then, and
 * if the restore fails, what is here stays.
 */
async function hydrate(
  { store, data, owners, logger, signal }: HydrationOptions,
  { name, history, position }: BackedUpDatabase,
  aside?: Restored['aside'],
): Promise<void> {
  const { files } = data
  // Before the restore: a name that a link leads elsewhere is not worth one.
  files.status(path.dirname(`${data.root}/${name}`))
  if (position.state === 'dropped') {
    const drop = { txid: position.txid, checksum: EMPTY_CHECKSUM }
    installRestored(data, name, { position: drop, dropped: true, ...(aside && { aside }) })
    return
  }
  const started = performance.now()
  const temporary = restoringPath(data, name)
  files.remove(temporary)
  files.makeDirectory(path.dirname(temporary))
  const held = files.at(temporary)
  const result = await restoreDatabase(store, name, NEWEST, held, { history, ...(signal && { signal }) }).catch(
    (error: unknown) => {
      if (error instanceof Error) error.message = error.message.replaceAll(held, temporary)
      throw error
    },
  )
  const wish = owners.wish(name, result.owner)
  const reasons = [makeFolders(files, data.root, name, wish), giveDatabase(files, temporary, wish)]
  for (const reason of reasons) if (reason !== undefined) owners.notGiven(name, reason)
  for (const { key, problem } of result.avoided) {
    logger.warn({ database: name, url: store.url, key, problem }, 'restored without a damaged object of the backup')
  }
  const { txid, checksum } = result
  installRestored(data, name, { position: { txid, checksum }, dropped: false, ...(aside && { aside }) })
  const durationMs = Math.round(performance.now() - started)
  logger.info(
    { database: name, position: formatPosition(result), pages: result.commit, durationMs },
    'restored from the backup',
  )
}

/** The directory for a database that is set aside, below the data directory. */
function asidePath(name: string): string {
  return `diverged/${name}/${new Date().toISOString().replace(/[:.]/g, '-')}`
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
