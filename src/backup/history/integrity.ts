import { rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { errorMessage, LtxdError } from '../../util/errors.ts'

/** What was restored is not a sound SQLite database. */
export class IntegrityError extends LtxdError {
  constructor(path: string, problem: string) {
    super(
      'INTEGRITY_CHECK_FAILED',
      `PRAGMA integrity_check on ${path}: ${problem}. It was removed. The backup holds exactly this state, so the database was ` +
        'damaged when it was backed up: try an earlier --txid or --timestamp; without --check this one can be had for repair',
    )
  }
}

/** Throws IntegrityError and removes the file unless SQLite finds it sound. */
export function assertIntegrity(path: string): void {
  const problem = findProblem(path)
  if (problem === undefined) return
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true })
  throw new IntegrityError(path, problem)
}

/** Closed ones, kept: better-sqlite3 12 can abort the process when Node.js 24.19 or later collects one; 13 needs Node.js 22. */
const closed: Database.Database[] = []

function findProblem(path: string): string | undefined {
  try {
    const database = new Database(path, { fileMustExist: true })
    try {
      const rows = database.pragma('integrity_check(10)') as { integrity_check: string }[]
      const findings = rows.map((row) => row.integrity_check)
      return findings.length === 1 && findings[0] === 'ok' ? undefined : findings.join('; ')
    } finally {
      database.close()
      closed.push(database)
    }
  } catch (error) {
    return errorMessage(error)
  }
}
