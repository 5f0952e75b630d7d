import fs from 'node:fs'
import { Database } from './database.ts'
import type { DatabaseOptions } from './database.ts'
import { PageTable, exchange } from './pages.ts'
import { planRecovery } from './recovery-plan.ts'
import type { RecoveryFacts, RecoveryStep } from './recovery-plan.ts'
import { missingPages } from './growth.ts'
import { pageChecksumsFromLog } from './checksums-from-log.ts'
import { cutTornTail, inspectLog } from '../log/open.ts'
import type { LogState } from '../log/open.ts'
import { readPages } from '../log/scan.ts'
import { createLog, logDirectory, writeSynced, ZERO_POSITION } from '../log/store.ts'
import { LogWriter } from '../log/writer.ts'
import type { LogWriterOptions } from '../log/writer.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { freelistLeaves } from '../sqlite/freelist.ts'
import type { Journal } from '../sqlite/journal.ts'
import { parseJournal } from '../sqlite/journal.ts'
import type { WalContent, WalTransaction } from '../sqlite/wal-scan.ts'
import { scanWal } from '../sqlite/wal-scan.ts'
import { pageChecksum } from '../ltx/checksum.ts'
import type { Checksum, Pgno, Position } from '../ltx/types.ts'
import { EMPTY_CHECKSUM, formatPosition, lockPgno } from '../ltx/types.ts'
import type { Files } from '../util/files.ts'
import { makeDurableDirectory, readerOf, withFile } from '../util/files.ts'
import { LtxdError } from '../util/errors.ts'

export interface RecoveryOptions extends Omit<DatabaseOptions, 'openLog' | 'path'>, LogWriterOptions {
  readonly dataDir: string
  /** The backing directory of the mount. */
  readonly root: string
}

const { O_RDONLY, O_RDWR, O_CREAT } = fs.constants

/** Recovery gave up on a database: nothing fits together. Nothing more is written to it. */
class Unrecoverable extends LtxdError {
  constructor(reason: string) {
    super('UNRECOVERABLE', reason)
  }
}

/**
 * Brings one database from whatever a crash left to the state of its log (I3), and the log to whatever was committed.
 * undefined when there is no database. A database that can't be recovered comes back with its `refusal`, untouched from then on.
 */
export function recoverDatabase(options: RecoveryOptions): Database | undefined {
  const recovery = new Recovery(options)
  try {
    return recovery.run()
  } catch (error) {
    if (!(error instanceof LtxdError)) throw error
    const advice = `restore it with "ltxd restore", or move its file and ${logDirectory(options.dataDir, options.name)} away together`
    options.events.log('error', `database refused: ${error.message}`, { database: options.name, advice })
    const refused = recovery.database()
    refused.refusal = `${error.message}; ${advice}`
    return refused
  }
}

class Recovery {
  private readonly options: RecoveryOptions
  private readonly files: Files
  private readonly path: string
  private readonly logDir: string
  private log: LogState | undefined
  private journal: Journal | undefined
  private wal: WalContent | undefined
  /** How many of the WAL's transactions the log already accounts for. */
  private walInLog = 0
  /** Pages of a decided transaction that is not in the log, and the size it left. */
  private decided: { sizePages: number; pages: Map<Pgno, Uint8Array> } | undefined
  private rolledBack = false
  private recovered: Database | undefined

  constructor(options: RecoveryOptions) {
    this.options = options
    this.files = options.files
    this.path = `${options.root}/${options.name}`
    this.logDir = logDirectory(options.dataDir, options.name)
  }

  run(): Database | undefined {
    const facts = this.gather()
    const plan = planRecovery(facts)
    if (plan.kind === 'nothing') return this.log === undefined ? undefined : this.dropped(this.log)
    if (plan.kind === 'refuse') throw new Unrecoverable(plan.reason)
    if (this.log?.torn !== undefined) this.cutTorn(this.log.torn)
    const notable = plan.steps.filter(({ step }) => step !== 'verify' && step !== 'remove-leftovers')
    if (notable.length > 0) {
      this.options.events.log('info', 'recovering', {
        database: this.options.name,
        steps: notable.map(describe).join(', '),
      })
    }
    for (const step of plan.steps) this.perform(step)
    return this.recovered ?? (this.log && this.dropped(this.log))
  }

  /** A database object over what is known so far: without pages until `verify` or `import`. */
  database(): Database {
    return new Database(this.databaseOptions())
  }

  /** No pages, but a history that goes on when the name is used again. */
  private dropped(log: LogState): Database {
    return new Database(this.databaseOptions(), {
      log: this.writer(log),
      pages: new PageTable(),
      pageSize: 0,
      walMode: false,
    })
  }

  private databaseOptions(): DatabaseOptions {
    const { options, files, logDir } = this
    return { ...options, path: this.path, openLog: () => openLog(files, logDir, options) }
  }

  private writer(log: LogState): LogWriter {
    return new LogWriter(this.files, this.logDir, log.last, endOf(log), this.options)
  }

  private gather(): RecoveryFacts {
    const { files, path } = this
    if (files.exists(`${this.logDir}/base.json`)) this.log = inspectLog(files, this.logDir)
    const file = this.inspect('', (fd) => {
      const header = parseDatabaseHeader(readerOf(files, fd)(0, DATABASE_HEADER_SIZE))
      return { sizeBytes: files.size(fd), valid: header !== undefined }
    })
    this.journal = this.inspect('-journal', (fd) => parseJournal(readerOf(files, fd), files.size(fd)))
    this.wal = this.inspect('-wal', (fd) => scanWal(readerOf(files, fd), files.size(fd)))
    this.walInLog = this.countWalInLog()
    const { journal, wal, log } = this
    const superJournal =
      journal?.superJournal === undefined ? 'none' : this.superJournalState(journal.superJournal, path)
    return {
      log: log && {
        synced: log.synced,
        first: log.first,
        last: log.last,
        lastCommit: log.entries.at(-1)?.header.commit,
      },
      file,
      journal: journal && { pages: journal.records.length, superJournal },
      wal: wal && { transactions: wal.transactions.length, afterLog: wal.transactions.length - this.walInLog },
    }
  }

  private inspect<T>(suffix: string, use: (fd: number) => T): T | undefined {
    const path = this.path + suffix
    return this.files.exists(path) ? withFile(this.files, path, O_RDONLY, use) : undefined
  }

  /** A super-journal lies beside one of the databases it names, under the path by which the application saw it: its last part is unique. */
  private superJournalState(name: string, databasePath: string): 'present' | 'gone' {
    const base = name.slice(name.lastIndexOf('/') + 1)
    const beside = `${parentOf(databasePath)}/${base}`
    if (this.files.exists(beside)) return 'present'
    return findFile(this.options.root, base) ? 'present' : 'gone'
  }

  /**
   * The log says of each transaction where it lay in the WAL. A WAL whose salts the log does not know is younger than the log's last
   * record; one whose last known transaction is not the log's last is older, and all of it is in the log.
   */
  private countWalInLog(): number {
    const { wal, log } = this
    if (wal === undefined || log === undefined) return 0
    const { salt1, salt2 } = wal.header
    const known = log.entries.findLastIndex(({ header }) => header.walSalt1 === salt1 && header.walSalt2 === salt2)
    if (known < 0) return 0
    if (known < log.entries.length - 1) return wal.transactions.length
    const { walOffset, walSize } = (log.entries[known] as LogState['entries'][number]).header
    return wal.transactions.filter(({ end }) => end <= walOffset + walSize).length
  }

  private perform(step: RecoveryStep): void {
    switch (step.step) {
      case 'keep-decided-transaction':
        return this.keepDecided()
      case 'roll-back-journal':
        return this.rollBack(this.journal as Journal)
      case 'replay-log':
        return this.replay(step.after)
      case 'verify':
        return this.verify(step.position)
      case 'capture-decided-transaction':
        return this.captureDecided()
      case 'capture-wal':
        return this.captureWal((this.wal as WalContent).transactions.slice(this.walInLog))
      case 'fold-wal':
        return this.foldWal((this.wal as WalContent).transactions)
      case 'import':
        return this.import()
      case 'remove-leftovers':
        return this.settle()
    }
  }

  /** A rollback of its very first transaction leaves no database: then there is nothing to import. */
  private import(): void {
    const database = this.database()
    if ((database.fileState()?.sizePages ?? 0) === 0) return
    database.importFile()
    this.recovered = database
  }

  private cutTorn(torn: NonNullable<LogState['torn']>): void {
    const { dataDir, name, events, nowMs } = this.options
    const keepAs = `${dataDir}/diverged/${name}/${nowMs()}-torn.ltxlog`
    cutTornTail(this.files, torn, keepAs)
    const kept = torn.holdsRecords ? keepAs : undefined
    events.log('warn', 'the LTX log ended in a transaction that was never finished: cut', {
      database: name,
      at: torn.at,
      kept,
    })
  }

  /** The transaction's pages are in the file; the journal tells which they are. */
  private keepDecided(): void {
    const journal = this.journal as Journal
    withFile(this.files, this.path, O_RDONLY, (fd) => {
      const read = readerOf(this.files, fd)
      const header = parseDatabaseHeader(read(0, DATABASE_HEADER_SIZE))
      if (header === undefined || header.pageSize !== journal.pageSize) return
      const size = sizePages(header, this.files.size(fd))
      const pgnos = new Set(journal.records.map(({ pgno }) => pgno).filter((pgno) => pgno <= size))
      for (let pgno = journal.initialSizePages + 1; pgno <= size; pgno++) pgnos.add(pgno)
      const pages = new Map<Pgno, Uint8Array>()
      for (const pgno of pgnos)
        pages.set(pgno, padded(read((pgno - 1) * header.pageSize, header.pageSize), header.pageSize))
      this.decided = { sizePages: size, pages }
    })
  }

  private rollBack(journal: Journal): void {
    const { files } = this
    withFile(files, this.path, O_RDWR, (fd) => {
      withFile(files, `${this.path}-journal`, O_RDONLY, (journalFd) => {
        const read = readerOf(files, journalFd)
        for (const { pgno, dataOffset } of journal.records) {
          if (pgno > journal.initialSizePages) continue
          const page = read(dataOffset, journal.pageSize)
          files.write(fd, page, 0, page.length, (pgno - 1) * journal.pageSize)
        }
      })
      files.truncate(fd, journal.initialSizePages * journal.pageSize)
    })
    this.rolledBack = true
  }

  private replay(after: bigint): void {
    const { files } = this
    const entries = (this.log as LogState).entries.filter(({ header }) => header.maxTXID > after)
    makeDurableDirectory(files, parentOf(this.path))
    withFile(files, this.path, O_RDWR | O_CREAT, (fd) => {
      for (const entry of entries) {
        const { pageSize, commit } = entry.header
        withFile(files, entry.segment, O_RDONLY, (segment) =>
          readPages(files, segment, entry, (pgno, page) => files.write(fd, page, 0, pageSize, (pgno - 1) * pageSize)),
        )
        files.truncate(fd, commit * pageSize)
      }
    })
  }

  /** I3: the file's pages have exactly the checksum of the last transaction in the log. */
  private verify(expected: Position): void {
    const { files } = this
    const state = withFile(files, this.path, O_RDWR, (fd) => {
      const header = parseDatabaseHeader(readerOf(files, fd)(0, DATABASE_HEADER_SIZE))
      if (header === undefined) throw new Unrecoverable('its file does not begin with a SQLite header')
      const pageSize = (this.log as LogState).entries.at(-1)?.header.pageSize ?? header.pageSize
      const commit = (this.log as LogState).entries.at(-1)?.header.commit ?? sizePages(header, files.size(fd))
      if (files.size(fd) > commit * pageSize) files.truncate(fd, commit * pageSize)
      return { header, pageSize, checksums: checksumsOfFile(files, fd, commit, pageSize) }
    })
    const { header, pageSize, checksums } = state
    const actual = fold(checksums)
    const residual =
      actual === expected.checksum ? [] : this.explain(expected, checksums, pageSize, header.freelistTrunk)
    const pages = new PageTable(checksums.slice())
    for (const [pgno, checksum] of residual) pages.setChecksum(pgno, checksum)
    const log = this.writer(this.log as LogState)
    const database = new Database(this.databaseOptions(), {
      log,
      pages,
      pageSize,
      walMode: header.journalMode === 'wal',
    })
    this.recovered = database
    if (residual.length === 0) return
    const pgnos = residual.map(([pgno]) => pgno)
    database.commit({ commit: pages.sizePages, pgnos, read: (pgno) => database.readFile(pgno) })
  }

  /**
   * SQLite neither journals nor restores the free-list's leaves, so after a rollback they may differ: a new transaction says so. Any other
   * difference is damage. Returns those pages with the checksums that the log expects.
   */
  private explain(
    expected: Position,
    actual: BigUint64Array,
    pageSize: number,
    firstTrunk: number,
  ): [Pgno, Checksum][] {
    const wanted = pageChecksumsFromLog(this.files, this.logDir, expected)
    const problem = (what: string) =>
      new Unrecoverable(
        `its pages do not have the checksum of its last transaction ${formatPosition(expected)}${what}: ` +
          'the file was changed while no node served it, or the disk lost writes',
      )
    if (wanted === undefined) throw problem('')
    if (wanted.length !== actual.length) throw problem(` (${actual.length} pages instead of ${wanted.length})`)
    const differing: [Pgno, Checksum][] = []
    wanted.forEach((checksum, i) => {
      if (checksum !== actual[i]) differing.push([i + 1, checksum as Checksum])
    })
    const leaves = withFile(this.files, this.path, O_RDONLY, (fd) => {
      const read = readerOf(this.files, fd)
      return freelistLeaves(firstTrunk, actual.length, (pgno) =>
        padded(read((pgno - 1) * pageSize, pageSize), pageSize),
      )
    })
    const bad = differing.filter(([pgno]) => !leaves.has(pgno))
    if (!this.rolledBack || bad.length > 0) throw problem(`; first differing page: ${(bad[0] ?? differing[0])?.[0]}`)
    return differing
  }

  private captureDecided(): void {
    const { decided } = this
    const database = this.recovered as Database
    if (decided === undefined) return
    const lock = lockPgno(database.pageSize)
    const changed = Array.from(decided.pages)
      .filter(([pgno, page]) => pgno !== lock && pageChecksum(pgno, page) !== database.pages.checksum(pgno))
      .map(([pgno]) => pgno)
      .sort((a, b) => a - b)
    const pgnos = missingPages(changed, database.pages.sizePages, decided.sizePages, database.pageSize)
    if (pgnos.length === 0 && decided.sizePages === database.pages.sizePages) return
    this.write(database, decided.sizePages, pgnos, (pgno) => decided.pages.get(pgno) ?? database.readFile(pgno))
    database.commit({ commit: decided.sizePages, pgnos, read: (pgno) => database.readFile(pgno) })
  }

  private captureWal(transactions: readonly WalTransaction[]): void {
    const { files } = this
    const database = this.recovered as Database
    const { header } = this.wal as WalContent
    if (header.pageSize !== database.pageSize)
      throw new Unrecoverable(`its WAL has another page size (${header.pageSize})`)
    const lock = lockPgno(header.pageSize)
    withFile(files, `${this.path}-wal`, O_RDONLY, (walFd) => {
      const read = readerOf(files, walFd)
      for (const { start, end, commit, pages } of transactions) {
        const changed = Array.from(pages.keys()).filter((pgno) => pgno <= commit && pgno !== lock)
        changed.sort((a, b) => a - b)
        const pgnos = missingPages(changed, database.pages.sizePages, commit, header.pageSize)
        const page = (pgno: Pgno) => {
          const at = pages.get(pgno)
          return at === undefined ? database.readFile(pgno) : read(at, header.pageSize)
        }
        const wal = { offset: start, size: end - start, salt1: header.salt1, salt2: header.salt2 }
        database.commit({ commit, pgnos, read: page, wal })
        this.write(database, commit, pgnos, page)
      }
    })
    database.walMode = database.fileState()?.header.journalMode === 'wal'
  }

  /** Without a log: the WAL's content goes into the file as a checkpoint would bring it there. */
  private foldWal(transactions: readonly WalTransaction[]): void {
    const { files } = this
    const pageSize = (this.wal as WalContent).header.pageSize
    withFile(files, this.path, O_RDWR, (fd) => {
      withFile(files, `${this.path}-wal`, O_RDONLY, (walFd) => {
        const read = readerOf(files, walFd)
        for (const { commit, pages } of transactions) {
          for (const [pgno, at] of pages) files.write(fd, read(at, pageSize), 0, pageSize, (pgno - 1) * pageSize)
          files.truncate(fd, commit * pageSize)
        }
      })
    })
  }

  private write(database: Database, commit: number, pgnos: readonly Pgno[], page: (pgno: Pgno) => Uint8Array): void {
    const { pageSize } = database
    database.withFile((fd) => {
      for (const pgno of pgnos) this.files.write(fd, page(pgno), 0, pageSize, (pgno - 1) * pageSize)
      this.files.truncate(fd, commit * pageSize)
    })
  }

  /**
   * Everything is in the log and in the file: make it durable, and remove what it was recovered from. Only then does the log need no
   * replay any more: a journal that is still there takes back what the file has.
   */
  private settle(): void {
    const { files, path, recovered } = this
    recovered?.syncLog()
    withFile(files, path, O_RDWR, (fd) => files.sync(fd))
    for (const suffix of ['-journal', '-wal', '-shm']) if (files.exists(path + suffix)) files.unlink(path + suffix)
    files.syncDirectory(parentOf(path))
    if (recovered !== undefined) writeSynced(files, this.logDir, recovered.position)
    recovered?.savePageChecksums()
  }
}

/** Opens a database's log where recovery (or a new database) left it, creating it if there is none. */
export function openLog(files: Files, dir: string, options: LogWriterOptions): LogWriter {
  createLog(files, dir, ZERO_POSITION)
  const state = inspectLog(files, dir)
  return new LogWriter(files, dir, state.last, endOf(state), options)
}

/** The byte after the last record, in the last segment. */
function endOf({ entries }: LogState): number {
  const last = entries.at(-1)
  return last === undefined ? 0 : last.offset + last.sizeBytes
}

function checksumsOfFile(files: Files, fd: number, commit: number, pageSize: number): BigUint64Array {
  const checksums = new BigUint64Array(commit)
  const lock = lockPgno(pageSize)
  const perChunk = Math.max(1, Math.floor((1 << 20) / pageSize))
  const chunk = new Uint8Array(perChunk * pageSize)
  for (let first = 1; first <= commit; first += perChunk) {
    const count = Math.min(perChunk, commit - first + 1)
    const n = files.read(fd, chunk, 0, count * pageSize, (first - 1) * pageSize)
    chunk.fill(0, n)
    for (let i = 0; i < count; i++) {
      const pgno = first + i
      if (pgno !== lock) checksums[pgno - 1] = pageChecksum(pgno, chunk.subarray(i * pageSize, (i + 1) * pageSize))
    }
  }
  return checksums
}

function fold(checksums: BigUint64Array): Checksum {
  let sum = EMPTY_CHECKSUM
  for (const checksum of checksums) sum = exchange(sum, 0n, checksum as Checksum)
  return sum
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes
  const page = new Uint8Array(length)
  page.set(bytes)
  return page
}

function findFile(dir: string, name: string): boolean {
  return fs.readdirSync(dir, { recursive: true, withFileTypes: true }).some((entry) => entry.name === name)
}

function describe(step: RecoveryStep): string {
  switch (step.step) {
    case 'replay-log':
      return `replay log ${step.after + 1n}..${step.to}`
    case 'roll-back-journal':
      return `roll back journal (${step.pages} pages)`
    case 'capture-wal':
      return `capture ${step.transactions} transactions from the WAL`
    case 'fold-wal':
      return `fold ${step.transactions} transactions of the WAL`
    default:
      return step.step
  }
}
