import fs from 'node:fs'
import type { TXID } from '../ltx/format/types.ts'
import { withFile } from '../util/files.ts'
import type { CapturedDatabase } from './captured-database.ts'

interface CopiedDatabase extends CapturedDatabase {
  readonly file: { readonly fd: number }
  readonly journal: { readonly isCopied: boolean }
  readonly wal: { readonly following: boolean; adopt(sizeBytes: number): void }
  walFd: number
}

/** What was copied in of a database, one file after the other, in any order: by cp, tar, rsync. */
export class CopiedIn {
  readonly #database: CopiedDatabase
  #importedAt: TXID | undefined
  /** The WAL came just after its database. */
  #isNext = false
  /** The WAL was copied in, and nobody has opened it since: it belongs to a file that may be yet to come. */
  hasWal = false

  constructor(database: CopiedDatabase) {
    this.#database = database
  }

  /** The database was copied in as a whole. A WAL that begins within about a second belongs to it. */
  imported(): void {
    const { txid } = this.#database.position
    this.#importedAt = txid
    this.#database.events.later(() => {
      if (this.#importedAt === txid) this.#importedAt = undefined
    })
  }

  /** The suffixes of side files that do not belong to the database as it is, but to one that comes after them. */
  get sideFiles(): readonly string[] {
    return [...(this.#database.journal.isCopied ? ['-journal'] : []), ...(this.hasWal ? ['-wal'] : [])]
  }

  /** Whether what is written to the WAL comes from a copy: SQLite has the database open. */
  get isWritingWal(): boolean {
    const { file, wal, authority } = this.#database
    return file.fd < 0 && !wal.following && authority.leads
  }

  walBegins(): void {
    if (!this.hasWal) this.#isNext = this.#importedAt === this.#database.position.txid
    this.hasWal = true
  }

  /** Nobody writes the copied WAL any more. If it came just after its database, it counts. */
  walEnded(): void {
    if (this.hasWal && this.#isNext) this.adoptWal()
  }

  /** A file with a WAL's content got the name of one, while nobody has the database open. */
  walArrived(): void {
    this.walBegins()
    this.walEnded()
  }

  /** SQLite finds a WAL beside the database when it next opens it: the log must not lag until then. */
  adoptWal(): void {
    const database = this.#database
    const { files, path, walFd, walMode } = database
    this.hasWal = false
    if (!walMode || walFd >= 0 || !files.exists(`${path}-wal`)) return
    withFile(files, `${path}-wal`, fs.constants.O_RDWR, (fd) => {
      database.walFd = fd
      try {
        database.wal.adopt(files.size(fd))
      } finally {
        database.walFd = -1
      }
    })
  }
}
