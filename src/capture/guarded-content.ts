import type { Caller, FileContent, HeldReply } from '../fuse/content.ts'
import { DATABASE_MAGIC_SIZE, hasDatabaseMagic } from '../sqlite/database-header.ts'
import { hasJournalMagic } from '../sqlite/journal.ts'
import { hasWalMagic } from '../sqlite/wal.ts'
import type { Files } from '../util/files.ts'
import { beginningAfter } from './beginning.ts'
import type { CaptureEvents } from './events.ts'
import type { Reject } from './rejection.ts'
import { rejectName } from './rejection.ts'

/** Whether a file that begins with these bytes is a database, or a side file that belongs to one. */
export type IsForbidden = (beginning: Uint8Array) => boolean

/** For a file whose own name no database can have. */
export const isDatabase: IsForbidden = hasDatabaseMagic

/** For a side file of a database that cannot exist, because of its name. */
export const isDatabaseOrSideFile: IsForbidden = (beginning) =>
  hasDatabaseMagic(beginning) || hasJournalMagic(beginning) || hasWalMagic(beginning)

export interface GuardOptions {
  readonly files: Files
  readonly fd: number
  readonly events: CaptureEvents
  readonly path: string
  readonly isForbidden: IsForbidden
  /** Default: the name is no database's. */
  readonly reject?: Reject
}

/**
 * A file that works as `inner` does, but never begins as a database: its name is no database's. Without this, a
 * database of such a name would be acknowledged and replicated nowhere.
 */
export class GuardedContent implements FileContent {
  #inner: FileContent
  readonly #options: GuardOptions

  constructor(inner: FileContent, options: GuardOptions) {
    this.#inner = inner
    this.#options = options
  }

  /** From now on the file works as `content` does. */
  become(content: (fd: number) => FileContent): void {
    this.#inner = content(this.#options.fd)
  }

  opened(flags: number, caller: Caller): void {
    this.#inner.opened(flags, caller)
  }

  read(into: Uint8Array, at: number, length: number, position: number): number {
    return this.#inner.read(into, at, length, position)
  }

  write(data: Uint8Array, position: number, caller: Caller, handle?: number): void {
    if (position < DATABASE_MAGIC_SIZE) this.#assertAllowed(data, position, caller)
    this.#inner.write(data, position, caller, handle)
  }

  truncate(sizeBytes: number, caller: Caller): void {
    this.#inner.truncate(sizeBytes, caller)
  }

  sync(dataOnly: boolean): HeldReply | undefined {
    return this.#inner.sync(dataOnly)
  }

  sizeBytes(): number | undefined {
    return this.#inner.sizeBytes?.()
  }

  takeStale(): boolean {
    return this.#inner.takeStale?.() === true
  }

  released(flags: number, openHandles: number, openWriters: number): void {
    this.#inner.released(flags, openHandles, openWriters)
  }

  /** The file's first bytes may arrive in any number of writes. */
  #assertAllowed(data: Uint8Array, position: number, caller: Caller): void {
    const { files, fd, events, path, isForbidden, reject = rejectName } = this.#options
    if (isForbidden(beginningAfter(files, fd, data, position, DATABASE_MAGIC_SIZE))) throw reject(events, path, caller)
  }
}
