import type { Caller } from '../fuse/content.ts'
import { PlainContent } from './contents.ts'
import type { Database } from './database.ts'
import { rejectUnserved } from './rejection.ts'

/** The file of a database that is not served: nobody can open it. */
export class UnservedContent extends PlainContent {
  readonly #database: Database

  constructor(database: Database, fd: number) {
    super(database.files, fd)
    this.#database = database
  }

  override opened(_flags: number, caller: Caller): void {
    const { events, name, rejection = '' } = this.#database
    throw rejectUnserved(events, name, rejection, caller)
  }
}
