import assert from 'node:assert/strict'
import type { Caller, FileContent, Volume } from '../fuse/content.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import type { Logs } from '../log/logs.ts'
import type { Announcement } from './announcements.ts'
import type { Authority } from './authority.ts'
import { ClientRemovals } from './client-removals.ts'
import { JournalContent, WalContent } from './contents.ts'
import type { DatabaseOptions } from './database.ts'
import { Database } from './database.ts'
import { DatabaseContent } from './database-content.ts'
import type { DatabaseFilter } from './database-filter.ts'
import { ANY_DATABASE } from './database-filter.ts'
import { filesBelow, isDatabaseName } from './find-databases.ts'
import { NameRules } from './name-rules.ts'
import type { FileKind } from './naming.ts'
import { classify } from './naming.ts'
import { rejectPattern, rejectRename, rejectUnjournaled } from './rejection.ts'
import { namesSuperJournal } from './super-journal.ts'
import { UnprovenContent } from './unproven-content.ts'
import { UnservedContent } from './unserved-content.ts'

export interface CaptureVolumeOptions {
  /** The backing directory. */
  readonly root: string
  readonly files: DatabaseOptions['files']
  readonly events: DatabaseOptions['events']
  readonly nowMs: DatabaseOptions['nowMs']
  readonly nodeId: bigint
  readonly logs: Logs
  /** Default: a node without a cluster. */
  readonly authority?: Authority
  /** Default: any file may be a database. */
  readonly filter?: DatabaseFilter
  /** The databases that recovery found. */
  readonly databases: Iterable<Database>
}

/** The files of the mount: databases with their journals and WALs are captured, all others are plain files. */
export class CaptureVolume implements Volume {
  readonly #options: CaptureVolumeOptions
  readonly #databases = new Map<string, Database>()
  readonly #contents = new Map<Database, DatabaseContent>()
  /** Directories last changed by the end of a journal. They need no fsync, because recovery replays the log. */
  readonly #journalEnded = new Set<string>()
  /** Databases whose removal is not a transaction. */
  readonly #discarding = new Set<string>()
  readonly #removals: ClientRemovals
  readonly #filter: DatabaseFilter
  readonly #names: NameRules

  constructor(options: CaptureVolumeOptions) {
    this.#options = options
    this.#filter = options.filter ?? ANY_DATABASE
    this.#removals = new ClientRemovals(options)
    this.#names = new NameRules({ ...options, filter: this.#filter })
    for (const database of options.databases) {
      assert.ok(!database.tracked || databaseNameProblem(database.name) === undefined, 'only a valid name is tracked')
      this.#databases.set(database.name, database)
    }
  }

  /** Every database that is or was tracked, or is not served. */
  list(): IterableIterator<Database> {
    return this.#databases.values()
  }

  /** The database of that name, if it has a committed state. */
  tracked(name: string): Database | undefined {
    const database = this.#databases.get(name)
    return database?.tracked === true ? database : undefined
  }

  content(path: string, fd: number): FileContent {
    this.#journalEnded.delete(parent(path))
    const { kind, database: name } = classify(path)
    const own = this.#databases.get(path)
    if (own?.rejection !== undefined) return new UnservedContent(own, fd)
    assert.ok(kind === 'database' || own?.tracked !== true, "a tracked database's file is opened as a database")
    if (this.#isExcluded(name)) return this.#names.excluded(path, fd)
    if (databaseNameProblem(name) !== undefined) return this.#names.unfit(path, fd)
    if (kind === 'database') return this.#databaseContent(name, fd)
    return this.#names.guarded(path, fd, this.#sideContent(kind, name, fd))
  }

  #sideContent(kind: Exclude<FileKind, 'database'>, name: string, fd: number): FileContent {
    if (kind === 'shm' || kind === 'super-journal') return this.#names.plain(fd)
    const database = this.#database(name)
    database.trust.expectChange()
    return kind === 'wal' ? new WalContent(database, fd) : new JournalContent(database, fd)
  }

  #databaseContent(name: string, fd: number): DatabaseContent {
    const database = this.#database(name)
    database.trust.expectChange()
    const { proof } = database.trust
    const closed = () => this.#closed(database)
    const content =
      proof === undefined || proof.ended
        ? new DatabaseContent(database, fd, closed)
        : new UnprovenContent(database, proof, fd, closed)
    this.#contents.set(database, content)
    return content
  }

  unlink(path: string, perform: () => void, caller: Caller): void {
    // The file of a database that an older version tracked, under a name that now belongs to a side file.
    const { kind, database: name } = this.#databases.has(path)
      ? ({ kind: 'database', database: path } as const)
      : classify(path)
    const database = this.#databases.get(name)
    this.#removals.assertAnnounced(name, kind, caller)
    if (kind === 'super-journal') return this.#commitAcrossDatabases(path, perform, caller)
    if (database !== undefined) {
      if (kind !== 'journal' && (database.tracked || database.rejection !== undefined)) database.assertWriter(caller)
      if (kind === 'database')
        return this.#discarding.has(name) ? this.#discarded(database, perform) : this.#dropped(database, perform)
      if (kind === 'wal' && database.tracked) return database.wal.remove(perform)
      if (kind === 'journal') {
        database.journal.end(perform, caller)
        this.#journalEnded.add(parent(path))
        return
      }
    }
    perform()
    this.#journalEnded.delete(parent(path))
  }

  /** Renaming a database drops it and creates another. */
  rename(from: string, to: string, isDirectory: boolean, perform: () => void, caller: Caller): void {
    this.#journalEnded.delete(parent(from))
    this.#journalEnded.delete(parent(to))
    const moved = this.#trackedAt(from, isDirectory)
    const replaced = this.#trackedAt(to, isDirectory)
    for (const database of [...moved, ...replaced]) {
      database.assertWriter(caller)
      if (database.file.fd >= 0 || database.walFd >= 0) throw rejectRename(this.#options.events, database.name, caller)
    }
    if (
      !isDirectory &&
      classify(from).kind !== 'database' &&
      this.#databases.get(classify(from).database)?.tracked === true
    ) {
      throw rejectUnjournaled(this.#options.events, classify(from).database, caller)
    }
    const renamed = (database: Database) => (isDirectory ? to + database.name.slice(from.length) : to)
    if (!isDirectory) this.#names.assertMayBecome(from, to, caller)
    for (const database of moved) this.#names.assertMayBecome(database.name, renamed(database), caller)
    // What becomes a database under the new name must be correct.
    for (const database of moved) database.trust.verify()
    for (const database of [...moved, ...replaced]) this.#drop(database)
    perform()
    if (moved.length > 0) this.#syncNames(parent(to), parent(from))
    for (const name of isDirectory ? this.#namesAfterRename(from, to, moved.map(renamed)) : [to])
      this.#importIfDatabase(name)
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

  #database(name: string): Database {
    const known = this.#databases.get(name)
    if (known !== undefined) return known
    assert.equal(databaseNameProblem(name), undefined, 'only a valid name is tracked')
    const { root, files, events, nowMs, nodeId, logs, authority } = this.#options
    const path = `${root}/${name}`
    const database = new Database({
      ...{ name, path, files, events, nowMs, nodeId, logs },
      ...(authority && { authority }),
    })
    this.#databases.set(name, database)
    return database
  }

  /** The local client announces its next write, or removal. */
  announced(announcement: Announcement): void {
    const { op, database: name } = announcement
    switch (op) {
      case 'reset':
        this.#discarding.delete(name)
        this.#databases.get(name)?.expectations.clear()
        return
      case 'expect':
        if (!this.#filter.matches(name)) throw rejectPattern(this.#options.events, name)
        this.#discarding.delete(name)
        this.#database(name).expectations.announce(announcement.expectation)
        return
      case 'unchanged': {
        const database = this.#database(name)
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
    }
  }

  /** A dropped database has no file whose removal would trigger the discard. */
  #discardAbsent(name: string): void {
    const database = this.#databases.get(name)
    if (database === undefined || this.#options.files.exists(database.path)) return
    this.#discarded(database, () => {})
  }

  #discarded(database: Database, perform: () => void): void {
    perform()
    this.#discarding.delete(database.name)
    database.discard()
    this.#contents.get(database)?.detach()
    this.#contents.delete(database)
    this.#databases.delete(database.name)
    this.#options.logs.remove(database.name)
  }

  #dropped(database: Database, perform: () => void): void {
    const wasTracked = database.tracked
    this.#drop(database)
    try {
      perform()
    } catch (error) {
      if (wasTracked) database.importFile()
      throw error
    }
    this.#journalEnded.delete(parent(database.name))
  }

  /** Forgets a file that is not a database once it is closed. */
  #closed(database: Database): void {
    this.#contents.delete(database)
    const idle = !database.tracked && !database.hasLog && !database.journal.active && database.rejection === undefined
    if (idle) this.#databases.delete(database.name)
  }

  #drop(database: Database): void {
    if (database.tracked) database.drop()
    this.#contents.get(database)?.detach()
    this.#contents.delete(database)
  }

  /** Whether the filter excludes the name. It never excludes a database that has a history. */
  #isExcluded(name: string): boolean {
    const known = this.#databases.get(name)
    return known?.tracked !== true && known?.rejection === undefined && !this.#filter.matches(name)
  }

  /** Patterns match whole paths, so a file can become a database when its directory is renamed. */
  #namesAfterRename(former: string, folder: string, moved: readonly string[]): readonly string[] {
    const wereAllDatabases = this.#filter === ANY_DATABASE && databaseNameProblem(`${former}/a`) === undefined
    return wereAllDatabases ? moved : filesBelow(this.#options.root, folder)
  }

  #trackedAt(path: string, isDirectory: boolean): Database[] {
    const all = Array.from(this.#databases.values()).filter(({ tracked }) => tracked)
    return all.filter(({ name }) => (isDirectory ? name.startsWith(`${path}/`) : name === path))
  }

  #importIfDatabase(name: string): void {
    if (!isDatabaseName(name, this.#filter)) return
    const database = this.#database(name)
    if (database.fileState() !== undefined) database.importIfWhole()
  }

  /**
   * The removal of a super-journal commits every database whose journal names it, at once. What each of them changed is
   * made durable before, and the removal itself before anything is captured. Whatever happens later, recovery finds the
   * transaction committed in all of them.
   */
  #commitAcrossDatabases(path: string, perform: () => void, caller: Caller): void {
    const { root, files } = this.#options
    const committed = Array.from(this.#databases.values()).filter(
      (database) => database.journal.active && namesSuperJournal(files, `${database.path}-journal`, path),
    )
    for (const { journal } of committed) journal.syncFile()
    perform()
    this.#journalEnded.delete(parent(path))
    if (committed.length === 0) return
    files.syncDirectory(`${root}/${parent(path)}`)
    for (const { journal } of committed) journal.finish(caller)
  }
}

function parent(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}
