import fs from 'node:fs'
import { Database } from '../capture/database.ts'
import type { DatabaseOptions } from '../capture/database-options.ts'
import type { LogFields } from '../capture/events.ts'
import { importIfWhole } from '../capture/import.ts'
import { Proof } from '../capture/proof.ts'
import { countIfEncrypted } from '../capture/unreplicated.ts'
import { forgetCopiedJournal } from '../log/copied-journal.ts'
import { continueLog, type LogState } from '../log/open.ts'
import { foldAll } from '../log/page-checksums.ts'
import { writeSynced } from '../log/store.ts'
import { trustAgain } from '../log/trust.ts'
import type { LogWriter, LogWriterOptions } from '../log/writer.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Position } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import { sizePages } from '../sqlite/database-header.ts'
import { freelistLeaves } from '../sqlite/freelist.ts'
import type { Journal } from '../sqlite/journal.ts'
import { PageList } from '../sqlite/page-list.ts'
import { PageTable } from '../sqlite/page-table.ts'
import type { WalContent } from '../sqlite/wal-scan.ts'
import type { Files } from '../util/files.ts'
import { parentOf, withFile } from '../util/files.ts'
import { captureDecided, captureWal } from './capture-leftovers.ts'
import { pageChecksumsFromLog } from './checksums-from-log.ts'
import { captureRollback } from './copied-journal.ts'
import { type DecidedTransaction, readDecided } from './decided.ts'
import { readHeader } from './encrypted-file.ts'
import type { Leftovers } from './leftovers.ts'
import type { RecoveryStep } from './plan.ts'
import { describeSteps, planRecovery } from './plan.ts'
import { assertExact, checksumPages, foldWal, pageReader, replayLog, restorePages, rollBackJournal } from './repair.ts'
import { differs, findResidue, Unrecoverable } from './residue.ts'
import { cutTorn } from './torn-tail.ts'

export interface RecoveryOptions extends Omit<DatabaseOptions, 'logs' | 'path'>, Omit<LogWriterOptions, 'failed'> {
  readonly dataDir: string
  /** The backing directory of the mount. */
  readonly root: string
  /** Where applications see the backing directory, if that is known. */
  readonly mountDir?: string
  /**
   * After a crash, databases larger than this are not read whole if the log holds the checksums of their pages.
   * Default: 16 MiB.
   */
  readonly wholeReadBytes?: number
}

const { O_RDONLY, O_RDWR } = fs.constants

/** Carries out the recovery plan of one database. */
export class Recovery {
  readonly #options: RecoveryOptions
  readonly #databaseOptions: DatabaseOptions
  readonly #files: Files
  readonly #path: string
  readonly #logDir: string
  readonly #found: Leftovers
  #decided: DecidedTransaction | undefined
  #rolledBack = false
  #recovered: Database | undefined
  /** Not every page of the file was read, so the rest needs verification later. */
  #isPartlyRead = false

  constructor(options: RecoveryOptions, databaseOptions: DatabaseOptions, logDir: string, found: Leftovers) {
    this.#options = options
    this.#databaseOptions = databaseOptions
    this.#files = options.files
    this.#path = databaseOptions.path
    this.#logDir = logDir
    this.#found = found
  }

  run(): Database | undefined {
    const { log, facts } = this.#found
    const plan = planRecovery(facts)
    for (const problem of this.#found.problems) this.#warn(`recovering without a state file: ${problem}`)
    if (plan.kind === 'refuse') throw new Unrecoverable(plan.reason, plan.advice)
    if (log?.torn !== undefined) cutTorn(this.#files, log.torn, this.#options, (...said) => this.#warn(...said))
    if (plan.kind === 'nothing' || !facts.remains.includes('-journal')) forgetCopiedJournal(this.#files, this.#logDir)
    if (plan.kind === 'recover') {
      const steps = describeSteps(plan.steps)
      if (steps !== '') this.#options.events.log('info', 'recovering', { database: this.#options.name, steps })
      try {
        for (const step of plan.steps) this.#perform(step)
      } finally {
        this.#decided?.close()
      }
    }
    if (plan.kind === 'nothing' && facts.file !== undefined) countIfEncrypted(new Database(this.#databaseOptions))
    return this.#recovered ?? (log && this.#dropped(log))
  }

  /** A dropped database: it has no pages, but its history continues when the name is used again. */
  #dropped(log: LogState): Database {
    const state = { log: this.#writer(log), pages: new PageTable(), pageSize: 0, walMode: false }
    return this.#continued(log, new Database(this.#databaseOptions, state))
  }

  /** Timestamps never decrease within a database, even if the clock goes back. */
  #continued({ entries }: LogState, database: Database): Database {
    database.lastTimestampMs = entries.at(-1)?.header.timestampMs ?? 0
    return database
  }

  #writer(log: LogState): LogWriter {
    return continueLog(this.#files, log, this.#options)
  }

  #perform(step: RecoveryStep): void {
    const files = this.#files
    const path = this.#path
    const found = this.#found
    switch (step.step) {
      case 'keep-decided-transaction':
        this.#decided = readDecided(files, path, found.journal as Journal, this.#options.dataDir)
        return
      case 'roll-back-journal':
        rollBackJournal(files, path, found.journal as Journal)
        this.#rolledBack = true
        return
      case 'replay-log': {
        const { entries } = found.log as LogState
        return replayLog(
          files,
          path,
          entries.filter(({ header }) => header.maxTXID > step.after),
        )
      }
      case 'roll-back-copied-journal':
        return this.#rollBackCopied(found.log as LogState, found.journal as Journal, step.position)
      case 'believe':
        return this.#resumeCleanStop(found.log as LogState, step.position)
      case 'verify-touched':
        return this.#verifyTouched(found.log as LogState, step.position)
      case 'verify':
        return this.#verify(found.log as LogState, step.position)
      case 'capture-decided-transaction':
        if (this.#decided !== undefined) captureDecided(this.#recovered as Database, this.#decided)
        return
      case 'capture-wal':
        return captureWal(this.#recovered as Database, found.wal as WalContent, found.walInLog)
      case 'fold-wal':
        return foldWal(files, path, found.wal as WalContent)
      case 'import':
        return this.#import()
      case 'remove-leftovers':
        return this.#finish()
    }
  }

  /**
   * Imports the file, if it holds a whole database. It does not after the rollback of its first transaction, or after
   * an interrupted copy.
   */
  #import(): void {
    const database = new Database(this.#databaseOptions)
    if (importIfWhole(database)) this.#recovered = database
  }

  #warn(message: string, fields: LogFields = {}): void {
    const { name, events } = this.#options
    events.log('warn', message, { database: name, ...fields })
  }

  /** Reads only the header: the saved checksums are those of the file as the clean stop left it. */
  #resumeCleanStop(log: LogState, expected: Position): void {
    const checksums = pageChecksumsFromLog(this.#files, this.#logDir, expected)
    if (checksums === undefined) return this.#verifyAnyway(log, expected)
    const { header, pageSize } = this.#openFile(log)
    this.#recovered = this.#resumed(log, checksums, pageSize, header)
    this.#recovered.trust.markClean()
  }

  /**
   * Verifies the pages that the crash may have damaged. The log holds the checksum of each page. After the replay, only
   * pages that were rolled back, and free-list leaves, can differ: those are read here. `Proof` verifies the rest
   * before its first use.
   */
  #verifyTouched(log: LogState, expected: Position): void {
    const files = this.#files
    const path = this.#path
    const logDir = this.#logDir
    const found = this.#found
    const rolledBack = this.#rolledBack
    const checksums = pageChecksumsFromLog(files, logDir, expected)
    const { header, pageSize, sizeBytes } = this.#openFile(log)
    if (checksums === undefined || sizeBytes !== checksums.length * pageSize) return this.#verify(log, expected)
    const touched = new PageList()
    for (const pgno of [1, checksums.length]) touched.add(pgno)
    const isSound = withFile(files, path, O_RDONLY, (fd) => {
      const read = pageReader(files, fd, pageSize)
      if (rolledBack) {
        for (const { pgno } of (found.journal as Journal).records) touched.add(pgno)
        for (const pgno of freelistLeaves(header.freelistTrunk, checksums.length, read).sorted()) touched.add(pgno)
      }
      const lock = lockPgno(pageSize)
      return touched
        .sorted()
        .every(
          (pgno) => pgno === lock || pgno > checksums.length || pageChecksum(pgno, read(pgno)) === checksums[pgno - 1],
        )
    })
    if (!isSound) return this.#verify(log, expected)
    this.#recovered = this.#resumed(log, checksums, pageSize, header)
    this.#isPartlyRead = true
  }

  /** The record of the clean stop is unusable: verify as after a crash. */
  #verifyAnyway(log: LogState, expected: Position): void {
    this.#verify(log, expected)
    this.#finish()
  }

  /** What an application rolled back before the crash has the journal's content; any other page has the log's. */
  #rollBackCopied(log: LogState, journal: Journal, expected: Position): void {
    const checksums = pageChecksumsFromLog(this.#files, this.#logDir, expected) ?? this.#readPages(log).checksums
    if (foldAll(checksums) !== expected.checksum) throw differs(expected, '')
    const { header, pageSize } = this.#openFile(log)
    captureRollback((this.#recovered = this.#resumed(log, checksums, pageSize, header)), journal)
  }

  #resumed(log: LogState, checksums: BigUint64Array, pageSize: number, header: DatabaseHeader): Database {
    const { journalMode, encryption } = header
    const pages = new PageTable(checksums)
    const state = { log: this.#writer(log), pages, pageSize, walMode: journalMode === 'wal', encryption }
    return this.#continued(log, new Database(this.#databaseOptions, state))
  }

  /** Ensures I3: the file's pages have exactly the checksum of the last transaction in the log. */
  #verify(log: LogState, expected: Position): void {
    const files = this.#files
    const path = this.#path
    const logDir = this.#logDir
    let found = this.#readPages(log)
    if (this.#rolledBack && foldAll(found.checksums) !== expected.checksum) {
      restorePages(files, path, log, this.#found.journal as Journal)
      found = this.#readPages(log)
    }
    const { header, pageSize, checksums } = found
    const { freelistTrunk } = header
    const matches = foldAll(checksums) === expected.checksum
    const mismatch = { files, path, logDir, expected, checksums, pageSize, freelistTrunk, rolledBack: this.#rolledBack }
    const residue = matches ? [] : findResidue(mismatch)

    const database = (this.#recovered = this.#resumed(log, checksums, pageSize, header))
    const { pages } = database
    for (const [pgno, checksum] of residue) pages.setChecksum(pgno, checksum)
    if (matches) return
    const pgnos = residue.map(([pgno]) => pgno)
    database.commit({ commit: pages.sizePages, pgnos, read: (pgno) => database.readFile(pgno) })
  }

  #readPages(log: LogState): { header: DatabaseHeader; pageSize: number; checksums: BigUint64Array } {
    const { header, pageSize, commit } = this.#openFile(log)
    const checksums = withFile(this.#files, this.#path, O_RDONLY, (fd) =>
      checksumPages(this.#files, fd, commit, pageSize),
    )
    return { header, pageSize, checksums }
  }

  /** Truncates the file to the size that the log records, and reads its header. */
  #openFile(log: LogState): { header: DatabaseHeader; pageSize: number; commit: number; sizeBytes: number } {
    const files = this.#files
    const path = this.#path
    const last = log.entries.at(-1)?.header
    return withFile(files, path, O_RDWR, (fd) => {
      const header = readHeader(files, fd, log)
      const pageSize = last?.pageSize ?? header.pageSize
      const commit = last?.commit ?? sizePages(header, files.size(fd))
      if (files.size(fd) > commit * pageSize) files.truncate(fd, commit * pageSize)
      return { header, pageSize, commit, sizeBytes: files.size(fd) }
    })
  }

  /**
   * Everything is in the log and in the file now: makes both durable, and then removes journal and WAL. Only after that
   * may the log's replay be skipped, because a remaining journal would roll the file back.
   */
  #finish(): void {
    const files = this.#files
    const path = this.#path
    const recovered = this.#recovered
    if (recovered !== undefined) assertExact(recovered)
    recovered?.syncLog()
    withFile(files, path, O_RDWR, (fd) => files.sync(fd))
    for (const suffix of ['-journal', '-wal', '-shm']) if (files.exists(path + suffix)) files.unlink(path + suffix)
    files.syncDirectory(parentOf(path))
    forgetCopiedJournal(files, this.#logDir)
    if (recovered === undefined) return
    const { position, pages, pageSize, trust } = recovered
    writeSynced(files, this.#logDir, position)
    const saved = recovered.savePageChecksums()
    if (this.#isPartlyRead) trust.proof = Proof.of(pages.snapshot(), pageSize)
    else trustAgain(files, this.#logDir)
    if (saved) trust.recordCleanStop()
  }
}
