import fs from 'node:fs'
import { FsError } from '../fuse/errno.ts'
import { writeSynced } from '../log/store.ts'
import { doubt, forgetCleanStop, identifySegment, writeCleanStop } from '../log/trust.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { errorMessage } from '../util/errors.ts'
import { parentOf, withFile } from '../util/files.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { Proof } from './proof.ts'
import { damageFound } from './rejection.ts'

const { O_RDONLY } = fs.constants

/** What is known of a database's file without reading it: at the start, while it is served, and for the next start. */
export class FileTrust {
  /** The pages that are still unverified; present if recovery did not read the whole file. */
  proof: Proof | undefined
  readonly #database: CapturedDatabase
  /** `active` is true during a transaction. */
  readonly #journal: { readonly active: boolean }
  /** The file is as a clean stop left it, and the record of that stop still exists beside the log. */
  #isClean = false

  constructor(database: CapturedDatabase, journal: { readonly active: boolean }) {
    this.#database = database
    this.#journal = journal
  }

  /** Recovery found the file as a clean stop left it. */
  markClean(): void {
    this.#isClean = true
  }

  /**
   * Called before one of the database's files is opened and before each transaction: from now on the file may change,
   * so the record of the clean stop goes.
   */
  expectChange(): void {
    const { files, logDir } = this.#database
    if (this.#isClean && logDir !== undefined) forgetCleanStop(files, logDir)
    this.#isClean = false
  }

  /** Records a clean stop. The file must be durable and complete without a WAL, and the page checksums saved. */
  recordCleanStop(): void {
    const database = this.#database
    const { files, logDir, position, rejection } = database
    const isUnproven = this.proof !== undefined && !this.proof.ended
    if (logDir === undefined || rejection !== undefined || isUnproven) return
    const file = database.withFile((fd) => files.identity(fd))
    writeCleanStop(files, logDir, { position, file, segment: identifySegment(files, logDir) })
    this.#isClean = true
  }

  /**
   * Stops cleanly: makes everything durable, so that the data directory is plain SQLite and the next start has nothing
   * to do.
   */
  stopCleanly(): void {
    const database = this.#database
    const { files, logDir, backfilled } = database
    if (this.#isClean || logDir === undefined || !database.tracked) return
    database.syncLog()
    database.withFile((fd) => files.sync(fd))
    this.#endJournal()
    const isComplete = backfilled !== undefined && !this.#journal.active
    if (isComplete) writeSynced(files, logDir, backfilled)
    if (database.savePageChecksums() && isComplete) this.recordCleanStop()
  }

  /**
   * While the log exists, the journal's end need not be durable. Without the log, SQLite would roll the transaction
   * back.
   */
  #endJournal(): void {
    const { files, path } = this.#database
    if (files.exists(`${path}-journal`)) withFile(files, `${path}-journal`, O_RDONLY, (fd) => files.sync(fd))
    files.syncDirectory(parentOf(path))
  }

  /** Verifies the pages that recovery did not read. Throws FsError. */
  verify(): void {
    const { proof } = this
    for (let pgno = proof?.next(1); pgno !== undefined; pgno = proof?.next(pgno + 1)) this.#database.readFile(pgno)
  }

  /** Verifies a page that was just read from the file. Throws FsError if it is wrong. */
  check(pgno: Pgno, page: Uint8Array): void {
    if (this.proof?.holds(pgno, page) === false) throw this.reject(pgno)
  }

  /** Throws FsError if either thread has found damage. */
  assertSound(): void {
    if (this.proof?.damaged !== undefined) throw this.reject(this.proof.damaged)
  }

  /** Stops serving the database: a page of its file differs from the log (I3). */
  reject(pgno: Pgno): FsError {
    const database = this.#database
    const { rejection, logDir = '', files, events, name } = database
    if (rejection !== undefined) return new FsError('EIO', rejection)
    const reason = damageFound(pgno, logDir)
    database.rejection = reason
    this.proof?.setDamaged(pgno)
    events.log('error', `database not served: ${reason}`, { database: name })
    if (logDir !== '') doubt(files, logDir)
    database.publish()
    return new FsError('EIO', reason)
  }

  /** The file has only part of the last transaction. The next start writes it from the log. */
  rejectUnwritten(cause: unknown): FsError {
    const database = this.#database
    const { logDir = '', files, events, name } = database
    const reason =
      `its file could not be written (${errorMessage(cause)}), and has only part of its last transaction. ` +
      'Make room or repair the disk, and start the node again: it writes the file from its log'
    database.rejection = reason
    events.log('error', `database not served: ${reason}`, { database: name })
    if (logDir !== '') doubt(files, logDir)
    database.publish()
    return new FsError('EIO', reason)
  }

  /** The file is removed or replaced: nothing is left to verify. */
  forget(): void {
    this.proof?.cut(0)
    this.proof?.end()
    this.proof = undefined
  }
}
