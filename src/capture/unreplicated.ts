import type { Caller } from '../fuse/content.ts'
import { DATABASE_MAGIC_SIZE, hasDatabaseMagic } from '../sqlite/database-header.ts'
import type { BackingFile, FileCheck } from './backing-file.ts'
import type { CaptureEvents } from './events.ts'
import { rejectEncrypted } from './rejection.ts'

/**
 * Databases that no log can hold, because they cannot be read: encrypted ones (SQLCipher, SEE, SQLite3MC). Their pages
 * have no SQLite header, but their journals and WALs do. They are found when they are written.
 */
export class UnreplicatedDatabases {
  readonly #events: CaptureEvents
  readonly #rejects: boolean
  readonly #names = new Set<string>()

  /** `rejects`: writes to them are rejected; otherwise they are served as plain files. */
  constructor(events: CaptureEvents, rejects: boolean) {
    this.#events = events
    this.#rejects = rejects
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** An encrypted database is about to be written. Throws FsError if it is to be rejected. */
  found(name: string, caller: Caller): void {
    if (this.#rejects) throw rejectEncrypted(this.#events, name, caller)
    if (this.#names.has(name)) return
    const message =
      'a database without a SQLite header is written, which is probably encrypted: it is served, but neither ' +
      'replicated nor backed up. With SQLCipher, cipher_plaintext_header_size = 32 makes it replicable'
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
  readonly events: CaptureEvents
  readonly tracked: boolean
  readonly unreplicated: UnreplicatedDatabases | undefined
}

/** A valid journal or WAL is about to be written beside the database. Throws FsError. */
export function sideFileWritten({ tracked, unreplicated, file, name }: PossiblyUnreplicated, caller: Caller): void {
  if (tracked || unreplicated === undefined || unreplicated.has(name)) return
  const { problem, isBlank } = file.check()
  if (problem !== undefined && !isBlank && file.state() === undefined) unreplicated.found(name, caller)
}

/** The database's file is about to begin with `beginning`, under a valid journal. Throws FsError. */
export function beginningWritten(database: PossiblyUnreplicated, beginning: Uint8Array, caller: Caller): void {
  const bytes = beginning.subarray(0, DATABASE_MAGIC_SIZE)
  if (!hasDatabaseMagic(bytes) && !isZero(bytes)) database.unreplicated?.found(database.name, caller)
}

/** The file was written, and is no whole database. */
export function servedAsPlain({ name, events, unreplicated }: PossiblyUnreplicated, check: FileCheck): void {
  const { problem, begins, isForeign } = check
  if (problem === undefined || unreplicated?.has(name) === true) return
  if (begins !== true) return events.plainFile(name)
  events.log('warn', `not a SQLite database: ${problem}. Served as a plain file, not replicated`, { file: name })
  if (isForeign === true) unreplicated?.add(name)
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}
