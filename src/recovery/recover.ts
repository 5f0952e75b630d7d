import fs from 'node:fs'
import type { DatabaseOptions } from '../capture/database.ts'
import { Database } from '../capture/database.ts'
import { missingPages } from '../capture/growth.ts'
import { Proof } from '../capture/proof.ts'
import { Logs } from '../log/logs.ts'
import type { LogState } from '../log/open.ts'
import { cutTornTail } from '../log/open.ts'
import { foldAll } from '../log/page-checksums.ts'
import { effectiveLog } from '../log/replace.ts'
import { logDirectory, writeSynced } from '../log/store.ts'
import { trustAgain } from '../log/trust.ts'
import type { LogWriterOptions } from '../log/writer.ts'
import { LogWriter } from '../log/writer.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno, Position } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { freelistLeaves } from '../sqlite/freelist.ts'
import type { Journal } from '../sqlite/journal.ts'
import { PageTable } from '../sqlite/page-table.ts'
import type { WalContent } from '../sqlite/wal-scan.ts'
import { LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { parentOf, readerOf, withFile } from '../util/files.ts'
import { pageChecksumsFromLog } from './checksums-from-log.ts'
import { foreseeRefusal } from './foresight.ts'
import type { Leftovers, Scene } from './leftovers.ts'
import { inspectLeftovers } from './leftovers.ts'
import type { RecoveryFacts, RecoveryPlan, RecoveryStep } from './plan.ts'
import { describeSteps, planRecovery } from './plan.ts'
import { assertExact, checksumPages, foldWal, pageReader, replayLog, restorePages, rollBackJournal } from './repair.ts'
import { findResidue, Unrecoverable } from './residue.ts'

export interface RecoveryOptions extends Omit<DatabaseOptions, 'logs' | 'path'>, LogWriterOptions {
  readonly dataDir: string
  /** The backing directory of the mount. */
  readonly root: string
  /** Databases larger than this are not read whole after a crash, where the log tells what their pages should be. Default: 16 MiB. */
  readonly wholeReadBytes?: number
}

const WHOLE_READ_BYTES = 16 << 20

const { O_RDONLY, O_RDWR } = fs.constants

type Whereabouts = Pick<RecoveryOptions, 'files' | 'dataDir' | 'root' | 'name' | 'wholeReadBytes'>

export interface PlannedRecovery {
  /** undefined where the log cannot be read. */
  readonly facts: RecoveryFacts | undefined
  readonly plan: RecoveryPlan
}

/** What `recoverDatabase` would do; with `foresee`, also whether the pages would be right, for which they are read. Changes nothing. */
export function planDatabase(options: Whereabouts, foresee: boolean): PlannedRecovery {
  try {
    const scene = sceneOf(options)
    const found = inspectLeftovers(scene)
    const plan = planRecovery(found.facts)
    const reason = foresee && plan.kind === 'recover' ? foreseeRefusal(scene, found, plan.steps) : undefined
    return { facts: found.facts, plan: reason === undefined ? plan : { kind: 'refuse', reason } }
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    return { facts: undefined, plan: { kind: 'refuse', reason: error.message } }
  }
}

/** What to do about a database that is refused. */
export function refusalAdvice(dataDir: string, name: string): string {
  return `restore it with "ltxd restore", or move its file and ${logDirectory(dataDir, name)} away together`
}

/**
 * Brings one database from whatever a crash left to the state of its log (I3), and the log to whatever was committed.
 * undefined when there is no database. A database that can't be recovered comes back with its `refusal`, untouched from then on.
 */
export function recoverDatabase(options: RecoveryOptions): Database | undefined {
  const { files, name, dataDir, events } = options
  const scene = sceneOf(options)
  const databaseOptions = { ...options, path: scene.path, logs: new Logs(files, dataDir, options) }
  try {
    return new Recovery(options, databaseOptions, scene.logDir, inspectLeftovers(scene)).run()
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    const advice = refusalAdvice(dataDir, name)
    events.log('error', `database refused: ${error.message}`, { database: name, advice })
    const refused = new Database(databaseOptions)
    refused.refusal = `${error.message}; ${advice}`
    return refused
  }
}

function sceneOf({ files, dataDir, root, name, wholeReadBytes = WHOLE_READ_BYTES }: Whereabouts): Scene {
  return {
    files,
    root,
    path: `${root}/${name}`,
    logDir: effectiveLog(files, logDirectory(dataDir, name)),
    wholeReadBytes,
  }
}

/** Carries out the plan. */
class Recovery {
  readonly #options: RecoveryOptions
  readonly #databaseOptions: DatabaseOptions
  readonly #files: Files
  readonly #path: string
  readonly #logDir: string
  readonly #found: Leftovers
  /** Pages of a decided transaction that is not in the log, and the size it left. */
  #decided: { sizePages: number; pages: Map<Pgno, Uint8Array> } | undefined
  #rolledBack = false
  #recovered: Database | undefined
  /** Not every page of the file was read. */
  #inPart = false

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
    if (plan.kind === 'refuse') throw new Unrecoverable(plan.reason)
    if (log?.torn !== undefined) this.#cutTorn(log.torn)
    if (plan.kind === 'recover') {
      const steps = describeSteps(plan.steps)
      if (steps !== '') this.#options.events.log('info', 'recovering', { database: this.#options.name, steps })
      for (const step of plan.steps) this.#perform(step)
    }
    return this.#recovered ?? (log && this.#dropped(log))
  }

  /** No pages, but a history that goes on when the name is used again. */
  #dropped(log: LogState): Database {
    const state = { log: this.#writer(log), pages: new PageTable(), pageSize: 0, walMode: false }
    return this.#continued(log, new Database(this.#databaseOptions, state))
  }

  /** Timestamps never go back within a database, whatever the clock does meanwhile. */
  #continued({ entries }: LogState, database: Database): Database {
    database.lastTimestampMs = entries.at(-1)?.header.timestampMs ?? 0
    return database
  }

  #writer(log: LogState): LogWriter {
    return new LogWriter(this.#files, this.#logDir, log.last, log.end, this.#options)
  }

  #perform(step: RecoveryStep): void {
    const files = this.#files
    const path = this.#path
    const found = this.#found
    switch (step.step) {
      case 'keep-decided-transaction':
        return this.#keepDecided(found.journal as Journal)
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
      case 'believe':
        return this.#believe(found.log as LogState, step.position)
      case 'verify-touched':
        return this.#verifyTouched(found.log as LogState, step.position)
      case 'verify':
        return this.#verify(found.log as LogState, step.position)
      case 'capture-decided-transaction':
        return this.#captureDecided(this.#recovered as Database)
      case 'capture-wal':
        return this.#captureWal(this.#recovered as Database, found.wal as WalContent)
      case 'fold-wal':
        return foldWal(files, path, found.wal as WalContent)
      case 'import':
        return this.#import()
      case 'remove-leftovers':
        return this.#settle()
    }
  }

  /** A rollback of its very first transaction leaves no database, nor does a copy that was cut short: then there is nothing to import. */
  #import(): void {
    const database = new Database(this.#databaseOptions)
    if (database.importIfWhole()) this.#recovered = database
  }

  #cutTorn(torn: NonNullable<LogState['torn']>): void {
    const { dataDir, name, events, nowMs } = this.#options
    const keepAs = `${dataDir}/diverged/${name}/${nowMs()}-torn.ltxlog`
    cutTornTail(this.#files, torn, keepAs)
    const kept = torn.holdsRecords || torn.later.length > 0 ? keepAs : undefined
    const fields = { database: name, at: torn.at, kept }
    events.log('warn', 'the LTX log ended in a transaction that was never finished: cut', fields)
  }

  /** The transaction's pages are in the file; the journal tells which they are. */
  #keepDecided(journal: Journal): void {
    const files = this.#files
    withFile(files, this.#path, O_RDONLY, (fd) => {
      const header = parseDatabaseHeader(readerOf(files, fd)(0, DATABASE_HEADER_SIZE))
      if (header === undefined || header.pageSize !== journal.pageSize) return
      const size = sizePages(header, files.size(fd))
      const pgnos = new Set(journal.records.map(({ pgno }) => pgno).filter((pgno) => pgno <= size))
      for (let pgno = journal.initialSizePages + 1; pgno <= size; pgno++) pgnos.add(pgno)
      const read = pageReader(files, fd, header.pageSize)
      this.#decided = { sizePages: size, pages: new Map(Array.from(pgnos, (pgno) => [pgno, read(pgno)])) }
    })
  }

  /** Nothing is read but the header: the saved checksums are those of the file as it was left. */
  #believe(log: LogState, expected: Position): void {
    const files = this.#files
    const logDir = this.#logDir
    const checksums = pageChecksumsFromLog(files, logDir, expected)
    if (checksums === undefined) return this.#verifyAfterAll(log, expected)
    const { header, pageSize } = this.#openFile(log)
    this.#recovered = this.#resumed(log, checksums, pageSize, header)
    this.#recovered.trust.believe()
  }

  /**
   * The log tells what each page should be. After a replay, a crash can only have left others in pages that were rolled back, or on the
   * free-list: those are read. The rest is proven when it is needed (Proof).
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
    const touched = new Set<Pgno>([1, checksums.length])
    const isSound = withFile(files, path, O_RDONLY, (fd) => {
      const read = pageReader(files, fd, pageSize)
      if (rolledBack) {
        for (const { pgno } of (found.journal as Journal).records) touched.add(pgno)
        for (const pgno of freelistLeaves(header.freelistTrunk, checksums.length, read)) touched.add(pgno)
      }
      touched.delete(lockPgno(pageSize))
      return Array.from(touched).every(
        (pgno) => pgno > checksums.length || pageChecksum(pgno, read(pgno)) === checksums[pgno - 1],
      )
    })
    if (!isSound) return this.#verify(log, expected)
    this.#recovered = this.#resumed(log, checksums, pageSize, header)
    this.#inPart = true
  }

  /** What was to be believed could not be: as after a crash. */
  #verifyAfterAll(log: LogState, expected: Position): void {
    this.#verify(log, expected)
    this.#settle()
  }

  #resumed(log: LogState, checksums: BigUint64Array, pageSize: number, { journalMode }: DatabaseHeader): Database {
    const pages = new PageTable(checksums)
    const state = { log: this.#writer(log), pages, pageSize, walMode: journalMode === 'wal' }
    return this.#continued(log, new Database(this.#databaseOptions, state))
  }

  /** I3: the file's pages have exactly the checksum of the last transaction in the log. */
  #verify(log: LogState, expected: Position): void {
    const files = this.#files
    const path = this.#path
    const logDir = this.#logDir
    const rolledBack = this.#rolledBack
    let found = this.#readPages(log)
    if (rolledBack && foldAll(found.checksums) !== expected.checksum) {
      restorePages(files, path, log, this.#found.journal as Journal)
      found = this.#readPages(log)
    }
    const { header, pageSize, checksums } = found
    const { freelistTrunk } = header
    const matches = foldAll(checksums) === expected.checksum
    const mismatch = { files, path, logDir, expected, checksums, pageSize, freelistTrunk, rolledBack }
    const residue = matches ? [] : findResidue(mismatch)

    const database = (this.#recovered = this.#resumed(log, checksums, pageSize, header))
    const { pages } = database
    for (const [pgno, checksum] of residue) pages.setChecksum(pgno, checksum)
    if (matches) return
    const pgnos = residue.map(([pgno]) => pgno)
    database.commit({ commit: pages.sizePages, pgnos, read: (pgno) => database.readFile(pgno) })
  }

  #readPages(log: LogState): { header: DatabaseHeader; pageSize: number; checksums: BigUint64Array } {
    const files = this.#files
    const path = this.#path
    const { header, pageSize, commit } = this.#openFile(log)
    const checksums = withFile(files, path, O_RDONLY, (fd) => checksumPages(files, fd, commit, pageSize))
    return { header, pageSize, checksums }
  }

  /** The file's header, after it was cut to the size that the log says. */
  #openFile(log: LogState): { header: DatabaseHeader; pageSize: number; commit: number; sizeBytes: number } {
    const files = this.#files
    const path = this.#path
    const last = log.entries.at(-1)?.header
    return withFile(files, path, O_RDWR, (fd) => {
      const header = parseDatabaseHeader(readerOf(files, fd)(0, DATABASE_HEADER_SIZE))
      if (header === undefined) throw new Unrecoverable('its file does not begin with a SQLite header')
      const pageSize = last?.pageSize ?? header.pageSize
      const commit = last?.commit ?? sizePages(header, files.size(fd))
      if (files.size(fd) > commit * pageSize) files.truncate(fd, commit * pageSize)
      return { header, pageSize, commit, sizeBytes: files.size(fd) }
    })
  }

  #captureDecided(database: Database): void {
    const decided = this.#decided
    if (decided === undefined) return
    const lock = lockPgno(database.pageSize)
    const changed = Array.from(decided.pages)
      .filter(([pgno, page]) => pgno !== lock && pageChecksum(pgno, page) !== database.pages.checksum(pgno))
      .map(([pgno]) => pgno)
      .sort((a, b) => a - b)
    const pgnos = missingPages(changed, database.pages.sizePages, decided.sizePages, database.pageSize)
    if (pgnos.length === 0 && decided.sizePages === database.pages.sizePages) return
    this.#write(database, decided.sizePages, pgnos, (pgno) => decided.pages.get(pgno) ?? database.readFile(pgno))
    database.commit({ commit: decided.sizePages, pgnos, read: (pgno) => database.readFile(pgno) })
  }

  /** Those of the WAL's transactions that the log does not have yet. */
  #captureWal(database: Database, { header, transactions }: WalContent): void {
    const files = this.#files
    const { pageSize, salt1, salt2 } = header
    if (pageSize !== database.pageSize) throw new Unrecoverable(`its WAL has another page size (${pageSize})`)
    const lock = lockPgno(pageSize)
    withFile(files, `${this.#path}-wal`, O_RDONLY, (walFd) => {
      const read = readerOf(files, walFd)
      for (const { start, end, commit, pages } of transactions.slice(this.#found.walInLog)) {
        const changed = Array.from(pages.keys()).filter((pgno) => pgno <= commit && pgno !== lock)
        changed.sort((a, b) => a - b)
        const pgnos = missingPages(changed, database.pages.sizePages, commit, pageSize)
        const page = (pgno: Pgno) => {
          const at = pages.get(pgno)
          return at === undefined ? database.readFile(pgno) : read(at, pageSize)
        }
        database.commit({ commit, pgnos, read: page, wal: { offset: start, size: end - start, salt1, salt2 } })
        this.#write(database, commit, pgnos, page)
      }
    })
    database.walMode = database.fileState()?.header.journalMode === 'wal'
  }

  #write(database: Database, commit: number, pgnos: readonly Pgno[], page: (pgno: Pgno) => Uint8Array): void {
    const { pageSize } = database
    database.withFile((fd) => {
      for (const pgno of pgnos) this.#files.write(fd, page(pgno), 0, pageSize, (pgno - 1) * pageSize)
      this.#files.truncate(fd, commit * pageSize)
    })
  }

  /**
   * Everything is in the log and in the file: make it durable, and remove what it was recovered from. Only then does the log need no
   * replay any more: a journal that is still there takes back what the file has.
   */
  #settle(): void {
    const files = this.#files
    const path = this.#path
    const recovered = this.#recovered
    if (recovered !== undefined) assertExact(recovered)
    recovered?.syncLog()
    withFile(files, path, O_RDWR, (fd) => files.sync(fd))
    for (const suffix of ['-journal', '-wal', '-shm']) if (files.exists(path + suffix)) files.unlink(path + suffix)
    files.syncDirectory(parentOf(path))
    if (recovered === undefined) return
    const { position, pages, pageSize, trust } = recovered
    writeSynced(files, this.#logDir, position)
    const saved = recovered.savePageChecksums()
    if (this.#inPart) trust.proof = Proof.of(pages.snapshot(), pageSize)
    else trustAgain(files, this.#logDir)
    if (saved) trust.remember()
  }
}
