import assert from 'node:assert/strict'
import type { FileContent, VolumeNames } from '../fuse/content.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import type { Logs } from '../log/logs.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { asError, errorMessage } from '../util/errors.ts'
import type { Authority } from './authority.ts'
import { JournalContent, PlainContent, WalContent } from './contents.ts'
import { Database } from './database.ts'
import { DatabaseContent } from './database-content.ts'
import { ANY_DATABASE, type DatabaseFilter } from './database-filter.ts'
import type { DatabaseOptions } from './database-options.ts'
import { isDatabaseName } from './find-databases.ts'
import { importCopied } from './import.ts'
import { JournalName } from './journal-name.ts'
import { MovedContent } from './moved-content.ts'
import { NameRules } from './name-rules.ts'
import { classify, type FileKind } from './naming.ts'
import type { RenameOver } from './rename-over.ts'
import { guardedShortName, isShortSideName, sharesStem } from './short-names.ts'
import { SideFiles } from './side-files.ts'
import { UnprovenContent } from './unproven-content.ts'
import { countIfEncrypted, UnreplicatedDatabases } from './unreplicated.ts'
import { UnservedContent } from './unserved-content.ts'

export interface TrackedFilesOptions {
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
  /** The files that recovery took for encrypted databases without a log. */
  readonly unreplicated?: Iterable<string>
}

/**
 * Databases by name, and the content of each open file that belongs to one. A file is tracked through one object: its
 * database's, by the name that the file has now.
 */
export class TrackedFiles {
  readonly names: NameRules
  readonly sideFiles: SideFiles
  readonly filter: DatabaseFilter
  readonly unreplicated: UnreplicatedDatabases
  /** The names that the mount shows. */
  shown: VolumeNames
  readonly #options: TrackedFilesOptions
  readonly #databases = new Map<string, Database>()
  readonly #contents = new Map<Database, DatabaseContent>()

  constructor(options: TrackedFilesOptions) {
    const { root, files, events, filter = ANY_DATABASE } = options
    this.#options = options
    this.filter = filter
    this.names = new NameRules({ root, files, events, filter })
    this.sideFiles = new SideFiles(root, files, events)
    this.unreplicated = new UnreplicatedDatabases(events, filter.rejectsOthers, options.unreplicated)
    this.shown = { remove: (path) => files.unlink(`${root}/${path}`), made: () => undefined }
    for (const database of options.databases) {
      assert.ok(!database.tracked || databaseNameProblem(database.name) === undefined, 'only a valid name is tracked')
      database.unreplicated = this.unreplicated
      this.#databases.set(database.name, database)
    }
  }

  values(): IterableIterator<Database> {
    return this.#databases.values()
  }

  find(name: string): Database | undefined {
    return this.#databases.get(name)
  }

  /** The database of that name, which need not have a committed state. */
  get(name: string): Database {
    const known = this.#databases.get(name)
    if (known !== undefined) return known
    assert.equal(databaseNameProblem(name), undefined, 'only a valid name is tracked')
    const { root, files, events, nowMs, nodeId, logs, authority } = this.#options
    const path = `${root}/${name}`
    const past = this.#pastOf(name)
    const database = new Database({
      ...{ name, path, files, events, nowMs, nodeId, logs },
      ...(authority && { authority }),
      ...('droppedAt' in past && { droppedAt: past.droppedAt }),
    })
    database.unreplicated = this.unreplicated
    this.#databases.set(name, database)
    if ('damage' in past) this.#reject(database, past.damage)
    return database
  }

  /** A name that was dropped continues from there, although its place was given to others. */
  #pastOf(name: string): { readonly droppedAt: Position } | { readonly damage: string } | Record<never, never> {
    try {
      const droppedAt = this.#options.logs.droppedAt(name)
      return droppedAt === undefined ? {} : { droppedAt }
    } catch (error) {
      return { damage: errorMessage(error) }
    }
  }

  #reject(database: Database, reason: string): void {
    const { name, events } = database
    database.rejection = reason
    events.log('error', `database not served: ${reason}`, { database: name })
    if (events.admits?.(name) !== false) database.publish()
  }

  /**
   * Frees what a dropped database occupies in memory, and all of its log but the position of the drop, which is durable
   * without it. Does nothing while the name is in use.
   */
  release(name: string, txid: TXID): void {
    const database = this.#databases.get(name)
    if (database === undefined || !this.#isAtRest(database) || database.position.txid !== txid) return
    const { logs, events } = this.#options
    if (!logs.isNoted(name, database.position)) return
    try {
      // First: from its release on, only the log tells others that the name was dropped, and where.
      logs.removeRecords(name)
    } catch (err) {
      events.log('warn', 'records of a dropped database cannot be removed', { database: name, err: asError(err) })
      return
    }
    database.journal.abandon()
    database.close()
    this.#databases.delete(name)
    events.released?.(name)
  }

  #isAtRest(database: Database): boolean {
    const { tracked, rejection, journal, file, walFd, path, files } = database
    const isOpen = this.#contents.has(database) || journal.active || file.fd >= 0 || walFd >= 0
    return !tracked && rejection === undefined && !isOpen && !files.exists(path)
  }

  /** The databases at `path` that lose their name, and files that may become databases. */
  replacedAt(path: string, isDirectory: boolean): Database[] {
    const all = this.knownAt(path, isDirectory)
    return all.filter((each) => each.tracked || each.journal.active || this.#contents.has(each))
  }

  knownAt(path: string, isDirectory: boolean): Database[] {
    const all = Array.from(this.#databases.values())
    return all.filter(({ name }) => (isDirectory ? name.startsWith(`${path}/`) : name === path))
  }

  content(path: string, fd: number): FileContent {
    const content = this.#content(path, fd)
    if (!isShortSideName(path)) return content
    const { files, events } = this.#options
    const beside = () => Array.from(this.#databases.keys()).find((name) => sharesStem(path, name))
    return guardedShortName({ files, fd, events, path }, content, beside)
  }

  #content(path: string, fd: number): FileContent {
    const { kind, database: name } = classify(path)
    const own = this.#databases.get(path)
    if (own?.rejection !== undefined) return new UnservedContent(own, fd)
    assert.ok(kind === 'database' || own?.tracked !== true, "a tracked database's file is opened as a database")
    if (this.#isExcluded(name)) return this.names.excluded(path, fd)
    if (databaseNameProblem(name) !== undefined) return this.names.unfit(path, fd)
    return kind === 'database' ? this.#databaseContent(name, fd) : this.#sideContent(path, kind, name, fd)
  }

  /** What an earlier database left beside the name does not belong to a file that begins there now. */
  #databaseContent(name: string, fd: number): FileContent {
    const { files } = this.#options
    const database = this.get(name)
    if (database.rejection !== undefined) return new UnservedContent(database, fd)
    const isNew = !database.tracked && files.size(fd) === 0
    if (isNew) this.sideFiles.remove(this.sideFiles.leftBeside(name, this.inodeOf(name)), name, this.shown.remove)
    database.trust.expectChange()
    const { proof } = database.trust
    const closed = (of: Database) => this.#closed(of)
    const content =
      proof === undefined || proof.ended
        ? new DatabaseContent(database, fd, closed)
        : new UnprovenContent(database, proof, fd, closed)
    this.#contents.set(database, content)
    return content
  }

  #sideContent(path: string, kind: Exclude<FileKind, 'database'>, name: string, fd: number): FileContent {
    if (kind === 'shm' || kind === 'super-journal') return this.names.guarded(path, fd, this.names.plain(fd))
    const database = this.get(name)
    database.trust.expectChange()
    const side =
      kind === 'wal'
        ? new WalContent(database, fd)
        : new JournalContent(database, fd, new JournalName(database, this.shown))
    const guarded = this.names.guarded(path, fd, side)
    this.sideFiles.opened(path, guarded, () => side.detach())
    return guarded
  }

  /**
   * The database's file is about to be removed, or renamed: its history ends. Whoever has it open goes on with files
   * that belong to no database; with `isMoved`, writes to those are rejected, because the file has another name.
   * Returns what has writes rejected, for where the file keeps its name after all.
   */
  drop(database: Database, isMoved = false): () => void {
    // A journal or a WAL that was copied in is that of a database that comes after it.
    const copied = database.copied.sideFiles
    if (database.tracked) database.drop()
    const former = this.#contents.get(database)
    former?.detach(isMoved)
    this.#contents.delete(database)
    if (database.authority.leads) database.journal.abandon()
    else database.journal.forget()
    const moved = (fd: number) => new MovedContent(database, fd)
    const plain = (fd: number) => new PlainContent(database.files, fd)
    // On a replica the local client removes a database, and continues it with the side files that readers have open.
    const { name, authority } = database
    const sides = authority.leads
      ? this.sideFiles.detach(name, this.inodeOf(name), isMoved ? moved : plain, copied)
      : []
    return () => {
      former?.detach(true)
      for (const side of sides) side.become(moved)
    }
  }

  /** A file that is no database yet was renamed while it is open. */
  renamed(database: Database, to: string): void {
    const content = this.#contents.get(database)
    if (content === undefined) return
    this.#contents.delete(database)
    if (isDatabaseName(to, this.filter)) {
      const other = this.get(to)
      content.rename(other)
      this.#contents.set(other, content)
    } else content.detach()
    this.#forgetIdle(database)
  }

  /** The database is not part of the primary's history. Its file was removed. */
  discarded(database: Database): void {
    database.discard()
    this.#contents.get(database)?.detach()
    this.#contents.delete(database)
    this.#databases.delete(database.name)
    this.#options.logs.remove(database.name)
    this.#options.events.released?.(database.name)
  }

  /**
   * A file with a new name becomes a database if it is one, or was one: then with the page size that it has if it is
   * encrypted, or 0. What the file that it was renamed `over` left beside it goes before. If that fails, nothing is
   * served that is not captured.
   */
  importIfDatabase(name: string, encryptedPageSize?: number, over?: RenameOver): void {
    if (!isDatabaseName(name, this.filter)) return
    const database = this.get(name)
    if (encryptedPageSize) database.file.assumeEncrypted(encryptedPageSize)
    try {
      if (over !== undefined) this.sideFiles.removeLeft(over, this.shown.remove)
      if (countIfEncrypted(database) || database.fileState() === undefined) this.#forgetIdle(database)
      else importCopied(database, encryptedPageSize !== undefined)
    } catch (error) {
      const err = asError(error)
      database.rejection = `capturing it after its rename failed (${err.message}): restart the node`
      database.events.log('error', 'database not served: capturing it after its rename failed', { database: name, err })
      database.publish()
    }
  }

  /** The inode number of the file at `path`; 0 if there is none. */
  inodeOf(path: string): number {
    return this.#options.files.status(`${this.#options.root}/${path}`)?.ino ?? 0
  }

  /** Whether the filter excludes the name. It never excludes a database that has a history. */
  #isExcluded(name: string): boolean {
    const known = this.#databases.get(name)
    return known?.tracked !== true && known?.rejection === undefined && !this.filter.matches(name)
  }

  /** Forgets a file that is not a database once it is closed. */
  #closed(database: Database): void {
    this.#contents.delete(database)
    this.#forgetIdle(database)
  }

  #forgetIdle(database: Database): void {
    const { tracked, logDir, journal, rejection } = database
    const isKnown = tracked || logDir !== undefined || journal.active || rejection !== undefined
    if (!isKnown && !this.#contents.has(database)) this.#databases.delete(database.name)
  }
}
