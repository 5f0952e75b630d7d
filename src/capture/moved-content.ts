import type { Caller } from '../fuse/content.ts'
import { PlainContent } from './contents.ts'
import type { Database } from './database.ts'
import { rejectMoved } from './rejection.ts'

/** A side file of a database that was renamed while it was open: it can be read. */
export class MovedContent extends PlainContent {
  readonly #database: Database

  constructor(database: Database, fd: number) {
    super(database.files, fd)
    this.#database = database
  }

  override write(_data: Uint8Array, _position: number, caller: Caller): void {
    throw rejectMoved(this.#database.events, this.#database.name, caller)
  }

  override truncate(_sizeBytes: number, caller: Caller): void {
    throw rejectMoved(this.#database.events, this.#database.name, caller)
  }
}
