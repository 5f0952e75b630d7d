import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import { LtxdError } from '../../util/errors.ts'
import { isoTime } from '../../util/time.ts'

/** The backup has nothing of this database. */
export class NoBackupError extends LtxdError {
  constructor(url: string, database: string, others: readonly string[]) {
    const found = others.length === 0 ? 'it holds no database' : `it holds ${others.join(', ')}`
    super('BACKUP_NOT_FOUND', `${url} has no backup of database ${database}: ${found}. Check the URL and the name`)
  }
}

/** There is no database to verify: the address is wrong, or the backup is gone. */
export class NothingToVerifyError extends LtxdError {
  constructor(url: string) {
    super(
      'BACKUP_EMPTY',
      `${url} does not exist, or holds no database: there is nothing to verify. Check the URL: ` +
        'each database lies directly below it, as "ltxd backup list" shows it',
    )
  }
}

/** The backup has files, but no chain of them ends at the target. */
export class TargetUnavailableError extends LtxdError {
  constructor(database: string, target: string, available: string) {
    super('TARGET_UNAVAILABLE', `database ${database} cannot be restored as of ${target}: ${available}`)
  }
}

/** Transactions are missing between the restorable ones and later ones that the backup also holds. */
export class BackupGapError extends LtxdError {
  constructor(
    database: string,
    readonly reached: TXID,
    readonly next: TXID,
  ) {
    const upTo =
      reached === 0n
        ? 'it has no snapshot and no chain of files from transaction 1'
        : `files join up to ${formatTXID(reached)}`
    const retry =
      reached === 0n
        ? 'Nothing can be restored until a node that has the database ships a snapshot'
        : `To restore up to there, pass --txid ${formatTXID(reached)}; a snapshot of the live database closes the gap`
    super(
      'BACKUP_GAP',
      `the backup of database ${database} has a gap: ${upTo}, the next file begins at ${formatTXID(next)}. ${retry}`,
    )
  }
}

/** The backup ends before a transaction that it has held: its last objects are gone. */
export class BackupEndMissingError extends LtxdError {
  constructor(database: string, reached: TXID, shipped: TXID) {
    const upTo = reached === 0n ? 'it holds no state of it' : `its files reach transaction ${formatTXID(reached)}`
    super(
      'BACKUP_END_MISSING',
      `the backup of database ${database} has lost its end: ${upTo}, and ${formatTXID(shipped)} was shipped. ` +
        'A snapshot of the live database replaces it',
    )
  }
}

/** The database did not exist at the target: it had been dropped. */
export class DatabaseDroppedError extends LtxdError {
  constructor(
    database: string,
    readonly droppedAt: TXID,
    droppedAtMs: number,
  ) {
    super(
      'DATABASE_DROPPED',
      `database ${database} was dropped in transaction ${formatTXID(droppedAt)} ` +
        `at ${isoTime(droppedAtMs)}; restore its last state with --txid ${formatTXID((droppedAt - 1n) as TXID)}`,
    )
  }
}

/** What is wrong with an object that a listing names and a read does not find. */
export const MISSING = 'it is listed, but it does not exist'

export interface CorruptObjectOptions extends ErrorOptions {
  /** What to do. Default: where to look for the damage, and for a copy. */
  readonly advice?: string
  /** False where objects do not fit each other, and another one may be the damaged one. Default: true. */
  readonly conclusive?: boolean
}

/** An object of the backup does not hold the content that its key stands for, or does not exist though it is listed. */
export class CorruptObjectError extends LtxdError {
  readonly problem: string
  readonly conclusive: boolean

  constructor(
    url: string,
    readonly key: string,
    problem: string,
    { advice, conclusive = true, ...options }: CorruptObjectOptions = {},
  ) {
    super(
      'BACKUP_OBJECT_CORRUPT',
      `object ${key} in ${url} is damaged: ${problem}. Nothing was written. ${advice ?? adviceOnDamage(url)}`,
      1,
      options,
    )
    this.problem = problem
    this.conclusive = conclusive
  }
}

/** A damaged object, and no other objects of the backup hold its transactions. */
export class NoWayRoundError extends CorruptObjectError {}

function adviceOnDamage(url: string): string {
  return (
    `Find all damage with "ltxd backup verify ${url}"; ` +
    'an earlier --txid or --timestamp, or another copy of the object, may still restore'
  )
}

/** The restored pages are not the database that was backed up. */
export class ChecksumMismatchError extends LtxdError {
  constructor(what: string, expected: string, actual: string) {
    super(
      'CHECKSUM_MISMATCH',
      `${what} has checksum ${actual}, expected ${expected}. Nothing was written. ` +
        'Find the damage with "ltxd backup verify"; an earlier --txid or --timestamp may still restore',
    )
  }
}

/** The backup holds a different object under the key of ours, which is never overwritten (I7). */
export class BackupConflictError extends LtxdError {
  constructor(url: string, key: string, detail: string) {
    super(
      'BACKUP_CONFLICT',
      `${url} already holds ${key} with different content (${detail}); it was left as it is. ` +
        'Another node or program writes to the same address: stop it, or give this node a backup URL of its own',
    )
  }
}

/** The backup and the local database have different histories. */
export class BackupDivergedError extends LtxdError {
  constructor(url: string, database: string, detail: string) {
    super(
      'BACKUP_DIVERGED',
      `database ${database} and its backup in ${url} have different histories: ${detail}. Nothing is uploaded. ` +
        'Decide which is right: restore the backup over the local file, or give this node a backup URL of its own',
    )
  }
}

/** The backup has transactions that this node lacks, or may lack. */
export class BackupAheadError extends LtxdError {
  constructor(url: string, database: string, detail: string) {
    super(
      'BACKUP_AHEAD',
      `the backup of database ${database} in ${url} is ahead of this node: ${detail}. Nothing is uploaded. ` +
        'Restore the database from the backup, or start the node with an empty data directory',
    )
  }
}

/** A leader of a higher term has written to the backup: this node may write to it no longer. */
export class BackupFencedError extends LtxdError {
  constructor(
    url: string,
    database: string,
    key: string,
    term: bigint,
    readonly higherTerm: bigint,
  ) {
    super(
      'BACKUP_FENCED',
      `${key} in ${url} was written in term ${higherTerm}, but this node leads database ${database} in term ${term}: ` +
        'another node has taken over. This node ships nothing more in its term; ' +
        'it must follow, or acquire the lease in a higher term',
    )
  }
}

/** No common checksum shows whether the backup and the local database have one history. */
export class BackupUnrelatedError extends LtxdError {
  constructor(url: string, database: string, detail: string) {
    super(
      'BACKUP_UNRELATED',
      `database ${database} and its backup in ${url} have no transaction in common to compare (${detail}). ` +
        'Nothing is uploaded. Start with an empty data directory to restore the backup, or configure another URL',
    )
  }
}

/** Another program changed an object while this node worked on it. */
export class BackupChangingError extends LtxdError {
  constructor(url: string, key: string) {
    super(
      'BACKUP_CHANGING',
      `${key} in ${url} was replaced or removed by another program while this node worked on it. ` +
        'The backup is read again; if this happens again, find the other program that writes to the same address, and stop it',
    )
  }
}

/** Two files that should follow each other belong to different histories. */
export class BrokenChainError extends LtxdError {
  constructor(url: string, database: string, problem: string) {
    super(
      'BACKUP_CHAIN_BROKEN',
      `files of database ${database} in ${url} do not join: ${problem}. They are not merged. ` +
        `See what can be restored with "ltxd backup verify ${url} ${database}"; ` +
        'a snapshot of the live database closes the break',
    )
  }
}

/** The machine's clock and the store's are so far apart that nobody knows what is old. */
export class ClockSkewError extends LtxdError {
  constructor(url: string, nowMs: number, storeMs: number) {
    const [here, there] = [nowMs, storeMs].map(isoTime)
    super(
      'CLOCK_SKEW',
      `the clock of this machine says ${here}, that of ${url} says ${there}: ` +
        'nothing is deleted by its age until they agree to a minute. Set the clock that is wrong, and keep it right with NTP',
    )
  }
}
