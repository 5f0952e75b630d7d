import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { Pgno } from '../ltx/format/types.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { hasJournalMagic } from '../sqlite/journal.ts'
import { DATABASE_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { scanWal } from '../sqlite/wal-scan.ts'
import { LtxdError } from '../util/errors.ts'
import { type Files, nodeFiles, readerOf, withFile } from '../util/files.ts'
import { DamagedDatabaseError, DatabaseInUseError, UnreadableFileError } from './errors.ts'
import { findDatabase, type NamedDatabase } from './named-database.ts'

const READ_BYTES = 1 << 20
const EXPECTED = 'a SQLite database'
const { pending, shared, sharedLength } = DATABASE_LOCK

/** Consecutive whole pages, valid until the next run is requested. */
export interface PageRun {
  readonly first: Pgno
  readonly count: number
  readonly bytes: Uint8Array
}

/**
 * A database that is complete in its file: no transaction is in a WAL or a journal, and no program changes it while
 * it is read. Holds SQLite's SHARED lock, and never writes.
 */
export class StillDatabase {
  readonly path: string
  readonly pageSize: number
  readonly sizePages: number
  /** Beside its real path SQLite puts WAL and journal. */
  readonly #named: NamedDatabase
  readonly #handle: FileHandle
  readonly #changedNs: bigint

  /** Throws UnreadableFileError, DamagedDatabaseError, DatabaseInUseError, ForeignLinkError. */
  static async open(path: string): Promise<StillDatabase> {
    let named: NamedDatabase | undefined
    let handle: FileHandle | undefined
    try {
      named = findDatabase(path)
      handle = await openHandle(named)
      const { mtimeNs, size } = await handle.stat({ bigint: true })
      lock(path, handle)
      assertAllInFile(named)
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(DATABASE_HEADER_SIZE), 0, DATABASE_HEADER_SIZE, 0)
      const header = parseDatabaseHeader(buffer.subarray(0, bytesRead))
      if (header === undefined) {
        throw new DamagedDatabaseError(path, size === 0n ? 'is empty' : 'has no valid database header (at byte 0)')
      }
      const pages = sizePages(header, Number(size))
      return new StillDatabase(path, named, handle, header.pageSize, pages, mtimeNs)
    } catch (error) {
      await handle?.close()
      named?.close()
      throw error instanceof Error && 'syscall' in error ? new UnreadableFileError(path, EXPECTED, error) : error
    }
  }

  private constructor(
    path: string,
    named: NamedDatabase,
    handle: FileHandle,
    pageSize: number,
    pages: number,
    changedNs: bigint,
  ) {
    this.path = path
    this.#named = named
    this.pageSize = pageSize
    this.sizePages = pages
    this.#handle = handle
    this.#changedNs = changedNs
  }

  /** Whether `path` is the same file, under any name. */
  async isAt(path: string): Promise<boolean> {
    const [own, other] = [await this.#handle.stat(), await stat(path).catch(() => undefined)]
    return other !== undefined && own.dev === other.dev && own.ino === other.ino
  }

  /**
   * All pages, including SQLite's lock page. When it returns without an error, all are of one state. Throws
   * DamagedDatabaseError, DatabaseInUseError.
   */
  async *runs(signal?: AbortSignal): AsyncGenerator<PageRun, void, void> {
    const { pageSize, sizePages: pages } = this
    const atOnce = READ_BYTES / pageSize
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
    for (let first = 1; first <= pages; first += atOnce) {
      signal?.throwIfAborted()
      const count = Math.min(atOnce, pages - first + 1)
      const start = (first - 1) * pageSize
      const read = await readAll(this.#handle, buffer.subarray(0, count * pageSize), start)
      if (read < count * pageSize) {
        const page = first + Math.floor(read / pageSize)
        throw new DamagedDatabaseError(
          this.path,
          `the file ends within page ${page} of ${pages} (at byte ${start + read})`,
        )
      }
      yield { first, count, bytes: buffer.subarray(0, count * pageSize) }
    }
    await this.#assertUnchanged()
  }

  async close(): Promise<void> {
    this.#named.close()
    await this.#handle.close()
  }

  /** In WAL mode a checkpoint takes no lock that conflicts with SHARED, so compare the modification time. */
  async #assertUnchanged(): Promise<void> {
    const { mtimeNs } = await this.#handle.stat({ bigint: true })
    if (mtimeNs !== this.#changedNs) {
      throw new DatabaseInUseError(this.path, 'was written to while it was being read', STOP_WRITERS)
    }
    assertAllInFile(this.#named)
  }
}

const STOP_WRITERS = 'Stop the programs that write to it, or take a copy with `sqlite3 DB ".backup COPY"`'

async function openHandle({ path, files }: NamedDatabase): Promise<FileHandle> {
  const fd = files.open(path, constants.O_RDONLY)
  try {
    return await open(`/proc/self/fd/${fd}`)
  } finally {
    files.close(fd)
  }
}

function lock(path: string, handle: FileHandle): void {
  const locks = new RangeLocks(handle.fd)
  const held = locks.shared(pending) && locks.shared(shared, sharedLength)
  if (!held) throw new DatabaseInUseError(path, 'another process is writing to it', STOP_WRITERS)
  locks.unlock(pending)
}

/**
 * Throws DatabaseInUseError when SQLite would use more than the file: a WAL with transactions, or a hot journal.
 */
function assertAllInFile({ path, files }: NamedDatabase): void {
  const advice = `Stop the programs that use it and run \`sqlite3 ${path} "PRAGMA wal_checkpoint(TRUNCATE)"\``
  const wal = `${path}-wal`
  const transactions = readIfThere(files, wal, (read, sizeBytes) => scanWal(read, sizeBytes)?.transactions.length ?? 0)
  if (transactions !== undefined && transactions > 0) {
    const count = `${transactions} transaction${transactions === 1 ? '' : 's'}`
    const reason = `${wal} holds ${count} that may not be in the file yet`
    throw new DatabaseInUseError(path, reason, advice)
  }
  const journal = `${path}-journal`
  if (readIfThere(files, journal, (read) => hasJournalMagic(read(0, 8))) === true) {
    const reason = `${journal} belongs to an unfinished transaction`
    throw new DatabaseInUseError(path, reason, `${advice}: this rolls the transaction back if its program has ended`)
  }
}

function readIfThere<T>(
  files: Files,
  path: string,
  use: (read: ReturnType<typeof readerOf>, sizeBytes: number) => T,
): T | undefined {
  try {
    if (files.status(path) === undefined) return undefined
    return withFile(files, path, constants.O_RDONLY, (fd) => use(readerOf(nodeFiles, fd), nodeFiles.size(fd)))
  } catch (error) {
    throw error instanceof LtxdError ? error : new UnreadableFileError(path, 'a WAL or journal of a database', error)
  }
}

async function readAll(handle: FileHandle, into: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
