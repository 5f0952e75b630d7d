import type { Caller, FileContent, Volume, VolumeNames } from '../fuse/content.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import type { TXID } from '../ltx/format/types.ts'
import type { Announcement } from './announcements.ts'
import { type Arriving, arrivingJournal, arrivingWal } from './arriving.ts'
import { mayBecomeWal } from './arriving-wal.ts'
import { assertNotWithheld, SOLE } from './authority.ts'
import { ClientRemovals } from './client-removals.ts'
import type { Database } from './database.ts'
import { ANY_DATABASE } from './database-filter.ts'
import { filesBelow, isDatabaseName } from './find-databases.ts'
import { beginsAsJournal } from './journal-rules.ts'
import { classify } from './naming.ts'
import { rejectLink, rejectPattern, rejectRename, rejectSideRename } from './rejection.ts'
import { forgetRename, noteRename, type RenameOver } from './rename-over.ts'
import type { TrackedFilesOptions } from './tracked-files.ts'
import { TrackedFiles } from './tracked-files.ts'

export type CaptureVolumeOptions = TrackedFilesOptions

/** The files of the mount: databases with their journals and WALs are captured, all others are plain files. */
export class CaptureVolume implements Volume {
  readonly #options: CaptureVolumeOptions
  readonly #tracked: TrackedFiles
  /** Directories last changed by the end of a journal. They need no fsync, because recovery replays the log. */
  readonly #journalEnded = new Set<string>()
  /** Databases whose removal is not a transaction. */
  readonly #discarding = new Set<string>()
  readonly #removals: ClientRemovals

  constructor(options: CaptureVolumeOptions) {
    this.#options = options
    this.#tracked = new TrackedFiles(options)
    this.#removals = new ClientRemovals(options)
  }

  /** Every database that is or was tracked, or is not served. */
  list(): IterableIterator<Database> {
    return this.#tracked.values()
  }

  find(name: string): Database | undefined {
    return this.#tracked.find(name)
  }

  /** The database of that name, if it has a committed state. */
  tracked(name: string): Database | undefined {
    const database = this.#tracked.find(name)
    return database?.tracked === true ? database : undefined
  }

  /** Nothing needs the log of a database that was dropped with transaction `txid`: frees its place. */
  release(name: string, txid: TXID): void {
    this.#tracked.release(name, txid)
  }

  attach(names: VolumeNames): void {
    this.#tracked.shown = names
  }

  content(path: string, fd: number): FileContent {
    this.#journalEnded.delete(parent(path))
    return this.#tracked.content(path, fd)
  }

  unlink(path: string, perform: () => void, caller: Caller): void {
    // The file of a database that an older version tracked, under a name that now belongs to a side file.
    const { kind, database: name } = this.#tracked.find(path)
      ? ({ kind: 'database', database: path } as const)
      : classify(path)
    const database = this.#tracked.find(name)
    this.#removals.assertAnnounced(name, kind, caller)
    if (kind === 'super-journal') return this.#commitAcrossDatabases(path, perform, caller)
    this.#tracked.sideFiles.removed(path)
    if (database !== undefined) {
      if (kind !== 'journal' && (database.tracked || database.rejection !== undefined)) database.assertWriter(caller)
      if (kind === 'database')
        return this.#discarding.has(name) ? this.#discarded(database, perform) : this.#dropped(database, perform)
      if (kind === 'wal') database.copied.hasWal = false
      if (kind === 'wal' && database.tracked) return database.wal.remove(perform)
      if (kind === 'journal' && !database.journal.isNameless) {
        database.journal.end(perform, caller)
        this.#journalEnded.add(parent(path))
        return
      }
    }
    perform()
    this.#tracked.unreplicated.remove(path)
    this.#journalEnded.delete(parent(path))
  }

  link(path: string, caller: Caller): never {
    throw rejectLink(this.#options.events, path, caller)
  }

  /** Renaming a database drops it and creates another. A WAL that gets its name commits, a journal waits for SQLite. */
  rename(from: string, to: string, isDirectory: boolean, perform: () => void, caller: Caller, isOpen = false): void {
    this.#journalEnded.delete(parent(from))
    this.#journalEnded.delete(parent(to))
    const tracked = this.#tracked
    const moved = tracked.knownAt(from, isDirectory).filter((database) => database.tracked)
    const replaced = tracked.replacedAt(to, isDirectory)
    const renamed = ({ name }: Database) => (isDirectory ? to + name.slice(from.length) : to)
    this.#assertRenamable(from, to, isDirectory, caller)
    const arriving = isDirectory ? undefined : this.#assertSideName(from, to, caller, isOpen)
    for (const database of moved) tracked.names.assertMayBecome(database.name, renamed(database), caller)
    const former = [...moved, ...replaced].filter((database) => database.tracked)
    const encrypted = new Map(former.map((database) => [database, database.file.encryptedPageSize]))
    // What becomes a database under the new name must be correct.
    for (const database of moved) database.trust.verify()
    arriving?.begin(caller)
    const others = tracked.knownAt(from, isDirectory).filter((database) => !moved.includes(database))
    const dropped: (() => void)[] = []
    let over: RenameOver | undefined
    try {
      for (const database of moved) dropped.push(tracked.drop(database, true))
      for (const database of replaced) dropped.push(tracked.drop(database))
      over = isDirectory ? undefined : this.#noteSideFiles(from, to)
      perform()
    } catch (error) {
      arriving?.undo()
      for (const rejectWrites of dropped) rejectWrites()
      for (const each of [...moved, ...replaced])
        if (!each.tracked) tracked.importIfDatabase(each.name, encrypted.get(each))
      if (over !== undefined) forgetRename(this.#options.files, this.#options.root, over)
      throw error
    }
    arriving?.end()
    if (!isDirectory) for (const path of [from, to]) tracked.sideFiles.renamed(path, (fd) => tracked.names.plain(fd))
    tracked.unreplicated.renamed(from, to, isDirectory, (name) => isDatabaseName(name, tracked.filter))
    for (const database of others) tracked.renamed(database, renamed(database))
    if (moved.length > 0) this.#syncNames(parent(to), parent(from))
    const names = isDirectory ? this.#namesAfterRename(from, to, moved.map(renamed)) : [to]
    const pageSizes = new Map(moved.map((each) => [renamed(each), encrypted.get(each)]))
    for (const name of names) tracked.importIfDatabase(name, pageSizes.get(name), over)
  }

  /** Throws FsError. */
  #assertRenamable(from: string, to: string, isDirectory: boolean, caller: Caller): void {
    const { events, authority = SOLE } = this.#options
    assertNotWithheld(events, authority, to, isDirectory)
    const tracked = this.#tracked
    const moved = tracked.knownAt(from, isDirectory)
    for (const database of [...moved, ...tracked.knownAt(to, isDirectory)])
      if (database.tracked || database.rejection !== undefined) database.assertWriter(caller)
    for (const { journal, name } of moved) if (journal.active) throw rejectRename(events, name, caller)
    if (isDirectory) return
    const side = classify(from)
    if (side.kind !== 'database' && this.tracked(side.database) !== undefined)
      throw rejectSideRename(events, from, caller)
    tracked.names.assertMayBecome(from, to, caller)
  }

  /** Returns the database whose WAL or journal the file becomes, if that has content. Throws FsError. */
  #assertSideName(from: string, to: string, caller: Caller, isOpen: boolean): Arriving | undefined {
    const { kind, database: name } = classify(to)
    const database = kind === 'database' ? undefined : this.tracked(name)
    if (database === undefined) return undefined
    const path = `${this.#options.root}/${from}`
    // Nothing of it would be captured: its content stays that of a plain file. A side file of a moved database is none.
    const isPlain = isOpen && (classify(from).kind === 'database' || this.#tracked.sideFiles.has(from))
    const isWal = kind === 'wal' && !isOpen && mayBecomeWal(database, path)
    const isJournal = kind === 'journal' && beginsAsJournal(this.#options.files, path)
    const isUsed = isInUse(database) || (isJournal && (isOpen || database.journal.active))
    if (isPlain || (isUsed && !isWal)) throw rejectSideRename(this.#options.events, to, caller)
    database.assertWriter(caller)
    if (isWal) return arrivingWal(database, path)
    return isJournal ? arrivingJournal(database) : undefined
  }

  /** Notes the side files that the former database of the name left, if there are any. */
  #noteSideFiles(from: string, to: string): RenameOver | undefined {
    const { root, files } = this.#options
    const left = this.#tracked.sideFiles.leftBeside(to, this.#tracked.inodeOf(from))
    if (left.length === 0) return undefined
    const over = { from, to, former: this.#tracked.inodeOf(to), left }
    noteRename(files, root, over)
    return over
  }

  /**
   * Makes a rename durable: a power loss that brought back the old name beside the new history would leave two
   * databases.
   */
  #syncNames(...directories: string[]): void {
    const { root, files } = this.#options
    for (const directory of new Set(directories)) files.syncDirectory(directory === '' ? root : `${root}/${directory}`)
  }

  syncDirectory(path: string, perform: () => void): void {
    if (!this.#journalEnded.delete(path)) perform()
  }

  /** The local client announces its next write, or removal. */
  announced(announcement: Announcement): void {
    const { op, database: name } = announcement
    switch (op) {
      case 'reset':
        this.#discarding.delete(name)
        this.#tracked.find(name)?.expectations.clear()
        return
      case 'expect':
        if (!this.#tracked.filter.matches(name)) throw rejectPattern(this.#options.events, name)
        this.#discarding.delete(name)
        this.#tracked.get(name).expectations.announce(announcement.expectation)
        return
      case 'unchanged': {
        const database = this.#tracked.get(name)
        database.commit({ commit: database.pages.sizePages, pgnos: [], read: (pgno) => database.readPage(pgno) })
        database.publish()
        return
      }
      case 'discard':
        this.#discarding.add(name)
        this.#discardAbsent(name)
        return
      case 'remove':
        this.#removals.announce(name, announcement.inodes)
        return
      case 'indexed':
        if (this.#removals.areNamed(name, announcement.inodes)) this.tracked(name)?.watch.indexed(announcement.index)
    }
  }

  /** A dropped database has no file whose removal would trigger the discard. */
  #discardAbsent(name: string): void {
    const database = this.#tracked.find(name)
    if (database === undefined || this.#options.files.exists(database.path)) return
    this.#discarded(database, () => {})
  }

  #discarded(database: Database, perform: () => void): void {
    perform()
    this.#tracked.unreplicated.remove(database.name)
    this.#discarding.delete(database.name)
    this.#tracked.discarded(database)
  }

  #dropped(database: Database, perform: () => void): void {
    const wasTracked = database.tracked
    const { encryptedPageSize } = database.file
    const rejectWrites = this.#tracked.drop(database)
    try {
      perform()
    } catch (error) {
      rejectWrites()
      database.file.encryptedPageSize = encryptedPageSize
      if (wasTracked) {
        database.importFile()
        database.copied.adoptWal()
      }
      throw error
    }
    this.#tracked.sideFiles.gone(database.name)
    this.#tracked.unreplicated.remove(database.name)
    this.#journalEnded.delete(parent(database.name))
  }

  /** Patterns match whole paths, so a file can become a database when its directory is renamed. */
  #namesAfterRename(former: string, folder: string, moved: readonly string[]): readonly string[] {
    const wereAllDatabases = this.#tracked.filter === ANY_DATABASE && databaseNameProblem(`${former}/a`) === undefined
    return wereAllDatabases ? moved : filesBelow(this.#options.root, folder)
  }

  /**
   * The removal of a super-journal commits every database whose journal names it, at once. What each of them changed is
   * made durable before, and the removal itself before anything is captured. A lease that has expired is found before
   * the removal, after which nothing can be rolled back. Whatever happens later, recovery finds the
   * transaction committed in all of them.
   */
  #commitAcrossDatabases(path: string, perform: () => void, caller: Caller): void {
    const { root, files } = this.#options
    const committed = Array.from(this.#tracked.values()).filter(({ journal }) => journal.belongsTo(path))
    for (const { journal } of committed) journal.syncFile()
    for (const { lateness } of committed) lateness.begin()
    perform()
    this.#journalEnded.delete(parent(path))
    if (committed.length === 0) return
    files.syncDirectory(`${root}/${parent(path)}`)
    for (const { journal } of committed) journal.finish(caller, true)
    // Committed in all of them, but not to be acknowledged any more.
    for (const { lateness } of committed) lateness.assertInTime()
  }
}

/** Another WAL in the place of this one would lose transactions, or be written into by those who have the old one. */
function isInUse(database: Database): boolean {
  return database.file.fd >= 0 || database.walFd >= 0 || database.pages.pagesInWal > 0
}

function parent(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}
