import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import { LtxdError } from '../../util/errors.ts'

/** A name that cannot be a database's, or not one that a backup can hold. */
export class DatabaseNameError extends LtxdError {
  constructor(name: string, problem: string) {
    super(
      'DATABASE_NAME_INVALID',
      `${JSON.stringify(name.slice(0, 200))} is not a usable database name: ${problem}. ` +
        'Expected a relative path as on the mount, such as app.db or tenants/a.db',
      2,
    )
  }
}

/** The backup has nothing of this database. */
export class NoBackupError extends LtxdError {
  constructor(url: string, database: string, others: readonly string[]) {
    const found = others.length === 0 ? 'it holds no database at all' : `it holds ${others.join(', ')}`
    super('BACKUP_NOT_FOUND', `${url} has no backup of database ${database}: ${found}. Check the URL and the name`)
  }
}

/** The backup has files, but none of the chains they form ends at the target. */
export class TargetUnavailableError extends LtxdError {
  constructor(database: string, target: string, available: string) {
    super('TARGET_UNAVAILABLE', `database ${database} cannot be restored as of ${target}: ${available}`)
  }
}

/** Transactions are missing between what can be restored and what the backup also holds. */
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
        ? 'Nothing can be restored until a node that has the database has taken a snapshot'
        : `To restore what can be, ask for --txid ${formatTXID(reached)}; a snapshot by a node that has the database closes the gap`
    super(
      'BACKUP_GAP',
      `the backup of database ${database} has a gap: ${upTo}, the next file begins at ${formatTXID(next)}. ${retry}`,
    )
  }
}

/** At the target the database had been dropped. */
export class DatabaseDroppedError extends LtxdError {
  constructor(
    database: string,
    readonly droppedAt: TXID,
    droppedAtMs: number,
  ) {
    super(
      'DATABASE_DROPPED',
      `database ${database} was dropped in transaction ${formatTXID(droppedAt)} at ${new Date(droppedAtMs).toISOString()}; ` +
        `its last state is --txid ${formatTXID((droppedAt - 1n) as TXID)}`,
    )
  }
}

/** An object of the backup is not what its place says it is. */
export class CorruptObjectError extends LtxdError {
  constructor(
    url: string,
    readonly key: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(
      'BACKUP_OBJECT_CORRUPT',
      `object ${key} in ${url} is damaged: ${problem}. Nothing was written. Find all damage with "ltxd backup verify ${url}"; ` +
        'an earlier --txid or --timestamp, or another copy of the object, may still restore',
      1,
      options,
    )
  }
}

/** The pages, put together, are not the database that was backed up. */
export class ChecksumMismatchError extends LtxdError {
  constructor(what: string, expected: string, actual: string) {
    super(
      'CHECKSUM_MISMATCH',
      `${what} has checksum ${actual}, expected ${expected}. Nothing was written. ` +
        'Find the damage with "ltxd backup verify"; an earlier --txid or --timestamp may still restore',
    )
  }
}

/** The backup holds another object under the name of ours (I7: it is never overwritten). */
export class BackupConflictError extends LtxdError {
  constructor(url: string, key: string, detail: string) {
    super(
      'BACKUP_CONFLICT',
      `${url} already holds ${key} with different content (${detail}); it was left as it is. Another node or program writes ` +
        'to the same address: stop it, or give this node a backup URL of its own',
    )
  }
}

/** Backup and local database are not of one history. */
export class BackupDivergedError extends LtxdError {
  constructor(url: string, database: string, detail: string) {
    super(
      'BACKUP_DIVERGED',
      `database ${database} and its backup in ${url} have different histories: ${detail}. Nothing is uploaded. ` +
        'Keep the one that is right: restore the backup over the local file, or give this node a backup URL of its own',
    )
  }
}

/** The backup has transactions that this node does not have, or may not have. */
export class BackupAheadError extends LtxdError {
  constructor(url: string, database: string, detail: string) {
    super(
      'BACKUP_AHEAD',
      `the backup of database ${database} in ${url} is ahead of this node: ${detail}. Nothing is uploaded. ` +
        'Restore the database from the backup, or start the node with an empty data directory',
    )
  }
}

/** A leader of a higher term writes to the backup: this node must not any more. */
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
      `${key} in ${url} was written in term ${higherTerm}, this node leads database ${database} in term ${term}: another node ` +
        'has taken over. This node uploads nothing more in its term; it has to follow, or to get a lease of a higher term',
    )
  }
}

/** Nothing tells whether backup and local database are of one history. */
export class BackupUnrelatedError extends LtxdError {
  constructor(url: string, database: string, detail: string) {
    super(
      'BACKUP_UNRELATED',
      `database ${database} and its backup in ${url} have no transaction in common that could be compared (${detail}). ` +
        'Nothing is uploaded. Start with an empty data directory to take the backup, or name another backup',
    )
  }
}

/** Somebody else changed what this node was working on. */
export class BackupChangingError extends LtxdError {
  constructor(url: string, key: string) {
    super(
      'BACKUP_CHANGING',
      `${key} in ${url} was replaced or removed by somebody else while this node was at work on it. The backup is looked at ` +
        'afresh; if it happens again, find out which other program writes to the same address, and stop it',
    )
  }
}

/** Two files that should follow each other are not of one history. */
export class BrokenChainError extends LtxdError {
  constructor(url: string, database: string, problem: string) {
    super(
      'BACKUP_CHAIN_BROKEN',
      `files of database ${database} in ${url} do not join: ${problem}. Nothing is made of them. See what can be restored with ` +
        `"ltxd backup verify ${url} ${database}"; a snapshot by a node that has the database closes the break`,
    )
  }
}
