import fs from 'node:fs'
import type { Caller, FileContent, Volume } from '../fuse/content.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import type { Logs } from '../log/logs.ts'
import { readSuperName } from '../sqlite/journal.ts'
import { readerOf, withFile } from '../util/files.ts'
import type { Announcement } from './announcements.ts'
import type { Authority } from './authority.ts'
import { DatabaseContent, JournalContent, PlainContent, WalContent } from './contents.ts'
import type { DatabaseOptions } from './database.ts'
import { Database } from './database.ts'
import type { DatabaseFilter } from './database-filter.ts'
import { ANY_DATABASE } from './database-filter.ts'
import { filesBelow, isDatabaseName } from './find-databases.ts'
import { classify } from './naming.ts'
import { OtherContent } from './other-content.ts'
import { refuseOther, refusePattern, refuseRename, refuseUnjournaled } from './refusal.ts'
import { UnprovenContent } from './unproven-content.ts'

export interface CaptureVolumeOptions {
  /** The backing directory. */
  readonly root: string
  readonly files: DatabaseOptions['files']
  readonly events: DatabaseOptions['events']
  readonly nowMs: DatabaseOptions['nowMs']
  readonly nodeId: bigint
  readonly logs: Logs
  /** Absent: a node of its own. */
  readonly authority?: Authority
  /** Absent: any file may be a database. */
  readonly filter?: DatabaseFilter
  /** What recovery found. */
  readonly databases: Iterable<Database>
}

/** The mount's files: databases with what belongs to them are captured, everything else is served plainly. */
export class CaptureVolume implements Volume {
  readonly #options: CaptureVolumeOptions
  readonly #databases = new Map<string, Database>()
  readonly #contents = new Map<Database, DatabaseContent>()
  /** Directories whose last change was the end of a journal: syncing that name is not needed, recovery replays the log. */
  readonly #journalEnded = new Set<string>()
  /** Names of databases that are to go without a trace in any history. */
  readonly #discarding = new Set<string>()
  readonly #filter: DatabaseFilter

  constructor(options: CaptureVolumeOptions) {
    this.#options = options
    this.#filter = options.filter ?? ANY_DATABASE
    for (const database of options.databases) this.#databases.set(database.name, database)
  }

  /** Every database that is tracked, was, or is refused. */
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
    if (this.#isLeftOut(name)) return this.#otherFile(path, fd)
    if (kind === 'shm' || kind === 'super-journal') return new PlainContent(this.#options.files, fd)
    const problem = databaseNameProblem(name)
    if (problem !== undefined) {
      this.#options.events.log('warn', `served as a plain file, not replicated: ${problem}`, { file: path })
      return new PlainContent(this.#options.files, fd)
    }
    const database = this.#database(name)
    database.trust.begin()
    if (kind === 'wal') return new WalContent(database, fd)
    if (kind === 'journal') return new JournalContent(database, fd)
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
    const { kind, database: name } = classify(path)
    const database = this.#databases.get(name)
    if (kind === 'super-journal') return this.#decide(path, perform, caller)
    if (database !== undefined) {
      if (kind !== 'journal' && (database.tracked || database.refusal !== undefined)) database.assertWriter(caller)
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

  /** Renaming a database is dropping one and creating another. */
  rename(from: string, to: string, isDirectory: boolean, perform: () => void, caller: Caller): void {
    this.#journalEnded.delete(parent(from))
    this.#journalEnded.delete(parent(to))
    const moved = this.#trackedAt(from, isDirectory)
    const replaced = this.#trackedAt(to, isDirectory)
    for (const database of [...moved, ...replaced]) {
      database.assertWriter(caller)
      if (database.fd >= 0 || database.walFd >= 0) throw refuseRename(this.#options.events, database.name, caller)
    }
    if (
      !isDirectory &&
      classify(from).kind !== 'database' &&
      this.#databases.get(classify(from).database)?.tracked === true
    ) {
      throw refuseUnjournaled(this.#options.events, classify(from).database, caller)
    }
    const renamed = (database: Database) => (isDirectory ? to + database.name.slice(from.length) : to)
    if (!isDirectory) this.#assertMayBe(to, caller)
    for (const database of moved) this.#assertMayBe(renamed(database), caller)
    // What is taken in under the new name has to be right.
    for (const database of moved) database.trust.prove()
    for (const database of [...moved, ...replaced]) this.#drop(database)
    perform()
    if (moved.length > 0) this.#syncNames(parent(to), parent(from))
    for (const name of isDirectory ? this.#arrived(to, moved.map(renamed)) : [to]) this.#importIfDatabase(name)
  }

  /** Or a power loss could bring an old name back when the new one has its history already: one database would be two. */
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
    const { root, files, events, nowMs, nodeId, logs, authority } = this.#options
    const path = `${root}/${name}`
    const database = new Database({
      ...{ name, path, files, events, nowMs, nodeId, logs },
      ...(authority && { authority }),
    })
    this.#databases.set(name, database)
    return database
  }

  /** On a replica: what the local client says before it writes. */
  announced(announcement: Announcement): void {
    const { op, database: name } = announcement
    switch (op) {
      case 'take-up':
        this.#discarding.delete(name)
        this.#databases.get(name)?.expectations.clear()
        return
      case 'expect':
        if (!this.#filter.names(name)) throw refusePattern(this.#options.events, name)
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
    }
  }

  /** A database that was dropped has no file, whose removal would be the end of it. */
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

  /** A file that is no database need not be remembered. */
  #closed(database: Database): void {
    this.#contents.delete(database)
    const idle = !database.tracked && !database.hasLog && !database.journal.active && database.refusal === undefined
    if (idle) this.#databases.delete(database.name)
  }

  #drop(database: Database): void {
    if (database.tracked) database.drop()
    this.#contents.get(database)?.detach()
    this.#contents.delete(database)
  }

  /** A database that has a history is one, whatever the configuration says: it was refused, or served, for that. */
  #isLeftOut(name: string): boolean {
    const known = this.#databases.get(name)
    return known?.tracked !== true && known?.refusal === undefined && !this.#filter.names(name)
  }

  #otherFile(path: string, fd: number): FileContent {
    const { files, events } = this.#options
    return this.#filter.refusesOthers ? new OtherContent(files, fd, events, path) : new PlainContent(files, fd)
  }

  #assertMayBe(path: string, caller: Caller): void {
    if (this.#filter.refusesOthers && !this.#filter.names(classify(path).database))
      throw refuseOther(this.#options.events, path, caller)
  }

  /** With patterns for paths, a file can become a database by where its folder is. */
  #arrived(folder: string, moved: readonly string[]): readonly string[] {
    return this.#filter === ANY_DATABASE ? moved : filesBelow(this.#options.root, folder)
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
   * The removal of a super-journal commits every database whose journal names it, all at once: what each of them changed is durable
   * before, and the removal is, so that whatever happens from there on, recovery finds the transaction decided in all of them.
   */
  #decide(path: string, perform: () => void, caller: Caller): void {
    const { root, files } = this.#options
    const decided = Array.from(this.#databases.values()).filter((database) => {
      const name = database.journal.active ? this.#superJournalOf(database) : undefined
      return name !== undefined && basename(name) === basename(path)
    })
    for (const { journal } of decided) journal.syncFile()
    perform()
    this.#journalEnded.delete(parent(path))
    if (decided.length === 0) return
    files.syncDirectory(`${root}/${parent(path)}`)
    for (const { journal } of decided) journal.finish(caller)
  }

  #superJournalOf(database: Database): string | undefined {
    const { files } = this.#options
    return withFile(files, `${database.path}-journal`, fs.constants.O_RDONLY, (fd) =>
      readSuperName(readerOf(files, fd), files.size(fd)),
    )
  }
}

function parent(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
