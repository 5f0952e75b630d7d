import fs from 'node:fs'
import type { VolumeNames } from '../fuse/content.ts'
import { JOURNAL_MAGIC_SIZE } from '../sqlite/journal.ts'
import { errorMessage } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import type { CaptureEvents } from './events.ts'

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants
const COPY_BYTES = 1 << 20
const PERMISSIONS = 0o777

/** The name of a database's journal, by which SQLite finds what is to be rolled back. */
export class JournalName {
  readonly #files: Files
  readonly #events: CaptureEvents
  /** Of the database. */
  readonly #database: string
  /** In the backing directory. */
  readonly #path: string
  readonly #names: VolumeNames

  constructor({ files, events, name, path }: NamedDatabase, names: VolumeNames) {
    this.#files = files
    this.#events = events
    this.#database = name
    this.#path = `${path}-journal`
    this.#names = names
  }

  remove(): void {
    this.#names.remove(`${this.#database}-journal`)
  }

  /**
   * Gives the name back to the journal that `fd` holds: the next connection then rolls back with it. Without it, what a
   * killed application left of a transaction would be the database. False if another file has the name by now, or the
   * disk fails.
   */
  restore(fd: number): boolean {
    const file = `${this.#database}-journal`
    if (this.#files.status(this.#path) !== undefined) return false
    try {
      const copy = this.#files.open(this.#path, O_RDWR | O_CREAT | O_EXCL)
      try {
        this.#copy(fd, copy)
      } catch (error) {
        this.#files.unlink(this.#path)
        throw error
      } finally {
        this.#files.close(copy)
      }
    } catch (error) {
      const message = `a transaction is not rolled back: its journal had lost its name, and cannot have it back (${errorMessage(error)})`
      this.#events.log('error', message, { database: this.#database, file })
      return false
    }
    this.#names.made(file)
    const message = 'a journal whose name another connection had removed has it back: its transaction was not committed'
    this.#events.log('warn', message, { database: this.#database, file })
    return true
  }

  /** The magic comes last: without it, what a crash leaves is no journal. */
  #copy(from: number, to: number): void {
    const { uid, gid, mode, size } = fs.fstatSync(from)
    if (uid !== fs.fstatSync(to).uid || gid !== fs.fstatSync(to).gid) fs.fchownSync(to, uid, gid)
    fs.fchmodSync(to, mode & PERMISSIONS)
    const chunk = new Uint8Array(Math.min(COPY_BYTES, size))
    for (let at = JOURNAL_MAGIC_SIZE; at < size; at += chunk.length) this.#copyPart(from, to, chunk, at)
    this.#copyPart(from, to, new Uint8Array(JOURNAL_MAGIC_SIZE), 0)
  }

  #copyPart(from: number, to: number, part: Uint8Array, at: number): void {
    this.#files.write(to, part, 0, this.#files.read(from, part, 0, part.length, at), at)
  }
}

export interface NamedDatabase {
  readonly files: Files
  readonly events: CaptureEvents
  readonly name: string
  /** Of its file in the backing directory. */
  readonly path: string
}
