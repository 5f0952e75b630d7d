/** What a crash left of a database, gathered without changing anything. */

import fs from 'node:fs'
import { journalCopiedWith } from '../log/copied-journal.ts'
import type { LocatedEntry, LogState } from '../log/open.ts'
import { inspectLog } from '../log/open.ts'
import type { CleanStop } from '../log/trust.ts'
import { identifySegment, isDoubted, readCleanStop } from '../log/trust.ts'
import type { Position } from '../ltx/format/types.ts'
import { toTXID } from '../ltx/format/types.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader } from '../sqlite/database-header.ts'
import type { Journal } from '../sqlite/journal.ts'
import { parseJournal } from '../sqlite/journal.ts'
import type { WalContent } from '../sqlite/wal-scan.ts'
import { scanWal } from '../sqlite/wal-scan.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'
import type { User } from '../util/look-as.ts'
import { knowsPageChecksums } from './checksums-from-log.ts'
import type { RecoveryFacts, Trust } from './plan.ts'
import type { SuperJournalPlace } from './super-journal.ts'
import { findSuperJournal } from './super-journal.ts'

export interface Leftovers {
  readonly log: LogState | undefined
  readonly journal: Journal | undefined
  readonly wal: WalContent | undefined
  /** How many of the WAL's transactions the log already holds. */
  readonly walInLog: number
  /** Damaged state files that recovery does without, in words. */
  readonly problems: readonly string[]
  /** The same facts in the form that the plan needs. */
  readonly facts: RecoveryFacts
}

/** Where a database's files and log are. */
export interface Scene extends SuperJournalPlace {
  /** The database's file below `root`. */
  readonly path: string
  readonly logDir: string
  /** Larger databases are not read whole if the log holds the checksums of their pages. */
  readonly wholeReadBytes: number
}

/** Inspects the files without changing anything. Throws CorruptLogError. */
export function inspectLeftovers(scene: Scene): Leftovers {
  const { files, path, logDir } = scene
  const inspect = <T>(suffix: string, use: (fd: number) => T): T | undefined =>
    files.exists(path + suffix) ? withFile(files, path + suffix, fs.constants.O_RDONLY, use) : undefined

  const file = inspect('', (fd) => {
    const header = parseDatabaseHeader(readerOf(files, fd)(0, DATABASE_HEADER_SIZE))
    return { sizeBytes: files.size(fd), valid: header !== undefined, identity: files.identity(fd) }
  })
  const problems: string[] = []
  const rebuild = file === undefined || file.sizeBytes === 0
  const stop = isDoubted(files, logDir) ? undefined : readCleanStop(files, logDir, (problem) => problems.push(problem))
  const isClean = stop !== undefined && stop.file === file?.identity && stop.segment === identifySegment(files, logDir)
  const log = files.exists(`${logDir}/base.json`)
    ? inspectLog(files, logDir, rebuild ? toTXID(0) : undefined, isClean)
    : undefined
  const copiedWith = journalCopiedWith(files, logDir)
  const isGivenUp = copiedWith === 'replacement'
  const journal = isGivenUp ? undefined : inspect('-journal', (fd) => parseJournal(readerOf(files, fd), files.size(fd)))
  const wal = inspect('-wal', (fd) => scanWal(readerOf(files, fd), files.size(fd)))
  const walInLog = countInLog(wal, log)
  const facts: RecoveryFacts = {
    log: log && {
      synced: log.synced,
      first: log.first,
      last: log.last,
      lastCommit: log.entries.at(-1)?.header.commit,
      torn: log.torn !== undefined,
      ...(log.torn !== undefined && log.torn.whole > 0 && { beyondTear: log.torn.whole }),
    },
    file: file && {
      sizeBytes: file.sizeBytes,
      valid: file.valid,
      trust: log === undefined ? 'nothing' : trustOf(scene, log, file.sizeBytes, isClean ? stop : undefined),
    },
    remains: ['-journal', '-wal', '-shm'].filter((suffix) => files.exists(path + suffix)),
    journal: journal && {
      pages: journal.records.length,
      superJournal:
        journal.superJournal === undefined
          ? 'none'
          : findSuperJournal(scene, journal.superJournal, authorOf(files, path)),
      ...(journal.superJournal !== undefined && { superName: journal.superJournal }),
      isCopied: copiedWith !== undefined,
    },
    wal: wal && { transactions: wal.transactions.length, afterLog: wal.transactions.length - walInLog },
  }
  return { log, journal, wal, walInLog, problems: [...problems, ...(log?.problems ?? [])], facts }
}

/** Of the journal. SQLite gives a journal that root makes to the owner of the database. */
function authorOf(files: Files, path: string): User {
  const { uid, gid } = files.status(`${path}-journal`) ?? NOBODY
  return { uid, gid }
}

const NOBODY: User = { uid: 65534, gid: 65534 }

/**
 * How far the file can be trusted without reading it. `stop` is the record of a clean stop, if file and log are
 * unchanged since.
 */
function trustOf(
  { files, logDir, wholeReadBytes }: Scene,
  { last, synced, torn, problems }: LogState,
  sizeBytes: number,
  stop: CleanStop | undefined,
): Trust {
  const isLast = (position: Position) => position.txid === last.txid && position.checksum === last.checksum
  if (stop !== undefined && torn === undefined && isLast(synced) && isLast(stop.position)) return 'file'
  if (isDoubted(files, logDir) || problems.length > 0) return 'nothing'
  return sizeBytes > wholeReadBytes && knowsPageChecksums(files, logDir, last.txid) ? 'log' : 'nothing'
}

/**
 * How many of the WAL's transactions the log holds. The log records the WAL position of each transaction. If the log
 * does not know the WAL's salts, the WAL is younger than the log's last record. If the last transaction with those
 * salts is not the log's last, the log holds all of the WAL.
 */
function countInLog(wal: WalContent | undefined, log: LogState | undefined): number {
  if (wal === undefined || log === undefined) return 0
  const { salt1, salt2 } = wal.header
  const known = log.entries.findLastIndex(({ header }) => header.walSalt1 === salt1 && header.walSalt2 === salt2)
  if (known < 0) return 0
  if (known < log.entries.length - 1) return wal.transactions.length
  const { walOffset, walSize } = (log.entries[known] as LocatedEntry).header
  return wal.transactions.filter(({ end }) => end <= walOffset + walSize).length
}
