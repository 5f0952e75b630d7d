import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import { isUnreadable } from '../sqlite/database-header.ts'
import { journalPageSize } from '../sqlite/journal.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'
import type { Authority } from './authority.ts'
import type { BackingFile, FileCheck } from './backing-file.ts'
import type { CaptureEvents } from './events.ts'
import { rejectEncrypted } from './rejection.ts'

/**
 * Databases that are in no log: encrypted ones (SQLCipher, SEE, SQLite3MC) in a rollback mode, because only a WAL tells
 * their size. Their pages have no SQLite header, but their journals do, so they are found when they are written. Where
 * no journal was seen (a copy, journal modes MEMORY and OFF, a restart), they are found by what they look like.
 */
export class UnreplicatedDatabases {
  readonly #events: CaptureEvents
  readonly #rejects: boolean
  readonly #names: Set<string>

  /** `rejects`: writes to them are rejected; otherwise they are served as plain files. `names`: those already known. */
  constructor(events: CaptureEvents, rejects: boolean, names: Iterable<string> = []) {
    this.#events = events
    this.#rejects = rejects
    this.#names = new Set(names)
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** An encrypted database is about to be written. Throws FsError if it is to be rejected. */
  found(name: string, caller: Caller): void {
    if (this.#rejects) throw rejectEncrypted(this.#events, name, caller)
    if (this.#names.has(name)) return
    const message =
      'a database without a SQLite header, which is probably encrypted, is written in a rollback mode: it is served, ' +
      'but neither replicated nor backed up. In WAL mode it is: PRAGMA journal_mode = WAL'
    this.#events.log('warn', message, { file: name })
    this.add(name)
  }

  add(name: string): void {
    if (this.#names.has(name)) return
    this.#names.add(name)
    this.#events.unreplicated(name, true)
  }

  /** The file was removed or emptied, or it can be captured now. */
  remove(name: string): void {
    if (this.#names.delete(name)) this.#events.unreplicated(name, false)
  }

  /** A file, or a folder, has another name. `isDatabase`: whether a file of that name may be a database. */
  renamed(from: string, to: string, isDirectory: boolean, isDatabase: (name: string) => boolean): void {
    if (this.#names.size === 0) return
    const moved = Array.from(this.#names).filter(
      (name) => name === from || (isDirectory && name.startsWith(`${from}/`)),
    )
    this.remove(to)
    for (const name of moved) {
      const renamed = to + name.slice(from.length)
      this.remove(name)
      if (isDatabase(renamed)) this.add(renamed)
    }
  }
}

/** What a database needs here of itself. */
export interface PossiblyUnreplicated {
  readonly name: string
  readonly file: BackingFile
  readonly files: Files
  readonly events: CaptureEvents
  readonly tracked: boolean
  readonly authority: Authority
  readonly unreplicated: UnreplicatedDatabases | undefined
}

/** A valid WAL is about to be written beside a database that cannot be imported. Throws FsError. */
export function walWritten({ tracked, unreplicated, file, name }: PossiblyUnreplicated, caller: Caller): void {
  if (tracked || unreplicated === undefined || unreplicated.has(name)) return
  const { problem, isBlank } = file.check()
  if (problem !== undefined && !isBlank && file.state() === undefined) unreplicated.found(name, caller)
}

/**
 * The database's file is about to be written up to `end`, under a valid journal; it begins with `beginning` then. A
 * first page alone is how each encrypted database begins, and how it gets into WAL mode. On a replica the local client
 * writes, and everything is captured. Throws FsError.
 */
export function journaledWrite(
  { name, file, files, authority, unreplicated }: PossiblyUnreplicated,
  beginning: Uint8Array,
  end: number,
  caller: Caller,
): void {
  const path = `${file.path}-journal`
  if (!authority.leads || unreplicated === undefined || !isUnreadable(beginning) || !files.exists(path)) return
  const pageSize = withFile(files, path, fs.constants.O_RDONLY, (fd) => journalPageSize(readerOf(files, fd)))
  if (pageSize === undefined) return
  const hasMore = end > pageSize || file.use((fd) => files.size(fd) > pageSize && !isUnreadable(file.beginning(fd)))
  if (hasMore) unreplicated.found(name, caller)
}

/** The file was written, and is no whole database. */
export function servedAsPlain(database: PossiblyUnreplicated, check: FileCheck): void {
  const { name, events, unreplicated } = database
  const { problem, begins, isForeign } = check
  if (problem === undefined || unreplicated?.has(name) === true || countIfEncrypted(database, check)) return
  if (begins !== true) return events.plainFile(name)
  events.log('warn', `not a SQLite database: ${problem}. Served as a plain file, not replicated`, { file: name })
  if (isForeign === true) unreplicated?.add(name)
}

/**
 * Counts the file if it looks like an encrypted database of several pages that is in no log. During recovery, which has
 * nothing to count with yet, the event tells.
 */
export function countIfEncrypted(database: PossiblyUnreplicated, check = database.file.check()): boolean {
  const { name, tracked, events, unreplicated } = database
  if (tracked || check.looksEncrypted !== true) return false
  if (unreplicated?.has(name) === true) return true
  const message =
    'a file is probably an encrypted database that is neither replicated nor backed up. It is from the first write in ' +
    'WAL mode on: PRAGMA journal_mode = WAL'
  events.log('warn', message, { file: name })
  if (unreplicated === undefined) events.unreplicated(name, true)
  else unreplicated.add(name)
  return true
}
