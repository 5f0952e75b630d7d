/** Applies LTX files to a new or an existing database: all of them, or none. */
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseFile } from '../apply/database-file.ts'
import { ApplyBlockedError, HardLinkError } from '../apply/errors.ts'
import { LiveDatabase } from '../apply/live-database.ts'
import { finish } from '../apply/steps.ts'
import { OutputFile } from '../image/output-file.ts'
import { hasChecksums, type Header } from '../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM } from '../ltx/format/types.ts'
import { OutputError } from '../util/new-file.ts'
import { openUnnamedHandle } from '../util/unnamed-file.ts'
import { DatabaseInUseError, DroppedDatabaseError } from './errors.ts'
import type { LTXFile } from './ltx-file.ts'
import { findDatabase, type NamedDatabase } from './named-database.ts'
import { type Base, Staging } from './staging.ts'

export interface AppliedFiles {
  /** The last file's header. */
  readonly header: Header
  /** The checksum of the database afterwards. */
  readonly checksum: Checksum
  /** Whether the last file records the same checksum. */
  readonly verified: boolean
  /** How many pages the files contain, including superseded ones. */
  readonly pages: number
}

/**
 * Writes a database to a new file, which appears when it is complete. Throws OutputExistsError and Staging's errors.
 */
export async function applyToNew(path: string, files: readonly LTXFile[], signal?: AbortSignal): Promise<AppliedFiles> {
  const output = await OutputFile.create(path, 'apply')
  try {
    const result = await stage(new Staging(output, nothingAt(path)), files, signal)
    if (result.header.commit === 0) throw new DroppedDatabaseError(path, files.at(-1)!.name)
    await output.publish()
    return result
  } finally {
    await output.discard()
  }
}

function nothingAt(path: string): Base {
  return { path, pageSize: 0, checksum: EMPTY_CHECKSUM, pages: { sizePages: 0, checksum: () => 0n } }
}

/**
 * Changes a database in place, in one transaction under SQLite's locks, after the result has been verified. If the
 * machine stops half-way, SQLite rolls the transaction back. `replace`: the first file may be a snapshot. Throws
 * ReplacesDatabaseError, DatabaseInUseError, NotDatabaseError, OutputError, and Staging's errors; the database is then
 * unchanged.
 */
export async function applyToExisting(
  path: string,
  files: readonly LTXFile[],
  options: ExistingOptions = {},
): Promise<AppliedFiles> {
  const named = find(path)
  try {
    return await applyToNamed(path, named, files, options)
  } finally {
    named.close()
  }
}

interface ExistingOptions {
  readonly replace?: boolean
  readonly signal?: AbortSignal
}

async function applyToNamed(
  path: string,
  named: NamedDatabase,
  files: readonly LTXFile[],
  { replace = false, signal }: ExistingOptions,
): Promise<AppliedFiles> {
  const file = lockDatabase(named)
  let database: LiveDatabase | undefined
  try {
    database = new LiveDatabase(file, LIVE)
    const checksum = finish(database.load())
    const { pageSize, pages } = database
    const staged = await openStaging(named)
    try {
      const staging = new Staging(staged, { path, pageSize, checksum, pages, mayBeReplaced: replace })
      const result = await stage(staging, files, signal)
      const changes = staging.changes()
      if (changes.pgnos.length > 0 || result.header.commit !== pages.sizePages)
        finish(database.write(changes, () => undefined))
      database.close()
      return result
    } finally {
      await staged.close()
    }
  } catch (error) {
    throw error instanceof ApplyBlockedError ? blocked(path, error) : error
  } finally {
    // After an error too: this removes the -wal and -shm that did not exist before.
    try {
      database?.close()
    } finally {
      file.close()
    }
  }
}

const LIVE = { durable: true, checkpointFrames: Infinity, maxWalBytes: Infinity, busyMs: 1000 }
const IN_USE = 'another process holds a lock on it'
const STOP_USERS = 'Nothing was changed: stop the programs that use it, and run this again'

async function stage(staging: Staging, files: readonly LTXFile[], signal?: AbortSignal): Promise<AppliedFiles> {
  let pages = 0
  let last: Header | undefined
  for (const file of files) {
    signal?.throwIfAborted()
    const applied = await staging.apply(file)
    pages += applied.pages
    last = applied.header
  }
  if (last === undefined) throw new RangeError('there are no files to apply')
  return { header: last, checksum: staging.checksum, verified: hasChecksums(last), pages }
}

function find(path: string): NamedDatabase {
  try {
    return findDatabase(path)
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? new OutputError(path, error) : error
  }
}

function lockDatabase({ path, files }: NamedDatabase): DatabaseFile {
  try {
    return DatabaseFile.open(path, files)
  } catch (error) {
    if (error instanceof ApplyBlockedError) throw blocked(path, error)
    throw error instanceof Error && 'syscall' in error ? new OutputError(path, error) : error
  }
}

function blocked(path: string, error: ApplyBlockedError): DatabaseInUseError {
  return error instanceof HardLinkError
    ? new DatabaseInUseError(path, error.reason, 'Nothing was changed: remove the other name, or copy the file')
    : new DatabaseInUseError(path, IN_USE, STOP_USERS)
}

async function openStaging({ path, directory }: NamedDatabase): Promise<FileHandle> {
  return openUnnamedHandle(directory).catch((error: unknown) => {
    throw new OutputError(join(dirname(path), '(a temporary file)'), error)
  })
}
