import { closeSync, openSync, readSync, rmSync } from 'node:fs'
import { DATABASE_HEADER_SIZE, encryptionOf } from '../../sqlite/database-header.ts'
import { errorMessage, LtxdError } from '../../util/errors.ts'
import { type LoadEngine, loadSqlite, type SqliteEngine } from './sqlite-engines.ts'

/** The restored file is not a sound SQLite database. */
class IntegrityError extends LtxdError {
  constructor(path: string, problem: string) {
    super(
      'INTEGRITY_CHECK_FAILED',
      `PRAGMA integrity_check on ${path}: ${problem}. It was removed. The backup holds exactly this state, ` +
        'so the database was damaged when it was backed up: try an earlier --txid or --timestamp; ' +
        'without --check this one can be had for repair',
    )
  }
}

/** The check itself failed. That says nothing about the database. */
export class IntegrityUnknownError extends LtxdError {
  constructor(path: string, reason: string, advice: string, options?: ErrorOptions) {
    super(
      'INTEGRITY_NOT_CHECKED',
      `${path} was restored and could not be checked: ${reason}. The file stays. ${advice}`,
      1,
      options,
    )
  }
}

const MAX_FINDINGS = 10
/** SQLite's primary result code. */
const SQLITE_CORRUPT = 11

/**
 * Runs `PRAGMA integrity_check`. Throws IntegrityError and removes the file where SQLite finds damage; throws
 * IntegrityUnknownError and leaves the file where the check could not be made.
 */
export async function assertIntegrity(path: string, loaders?: readonly LoadEngine[]): Promise<void> {
  const problem = findProblem(path, await engineFor(path, loaders))
  if (problem === undefined) return
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
  throw new IntegrityError(path, problem)
}

/** Whether nobody without the key can check the database: only its checksums tell that it is what was committed. */
export function isEncrypted(path: string): boolean {
  const beginning = new Uint8Array(DATABASE_HEADER_SIZE)
  const fd = openSync(path, 'r')
  try {
    return readSync(fd, beginning) === beginning.length && encryptionOf(beginning) !== 'none'
  } finally {
    closeSync(fd)
  }
}

/** The backup records no checksum, and the content cannot be read. */
export function encryptedAndUnverified(path: string): IntegrityUnknownError {
  const advice = 'Open it with its key, and run PRAGMA integrity_check'
  return new IntegrityUnknownError(path, 'it is encrypted, and the backup has no checksum of it', advice)
}

async function engineFor(path: string, loaders: readonly LoadEngine[] | undefined): Promise<SqliteEngine> {
  try {
    return await loadSqlite(loaders)
  } catch (error) {
    const advice = `${checkByHand(path)}, use Node.js 22.13 or later, or install better-sqlite3 12 beside ltxd`
    throw new IntegrityUnknownError(path, `no SQLite can be loaded (${errorMessage(error)})`, advice, { cause: error })
  }
}

function findProblem(path: string, engine: SqliteEngine): string | undefined {
  let findings: readonly string[]
  try {
    findings = engine.integrityCheck(path, MAX_FINDINGS)
  } catch (error) {
    if (engine.isDamage(error)) return errorMessage(error)
    throw unknown(path, engine, errorMessage(error), error)
  }
  const unread = findings.find(isUnread)
  if (unread !== undefined) throw unknown(path, engine, unread)
  return findings.length === 1 && findings[0] === 'ok' ? undefined : findings.join('; ')
}

/** SQLITE_IOERR and its kin come as a row: `Page 7: unable to get the page. error code=266`. */
function isUnread(finding: string): boolean {
  const code = /error code=(\d+)/.exec(finding)?.[1]
  return code !== undefined && (Number(code) & 0xff) !== SQLITE_CORRUPT
}

function unknown(path: string, engine: SqliteEngine, reason: string, cause?: unknown): IntegrityUnknownError {
  return new IntegrityUnknownError(path, `${engine.name} failed (${reason})`, checkByHand(path), { cause })
}

function checkByHand(path: string): string {
  return `Run: sqlite3 '${path}' 'PRAGMA integrity_check'`
}
