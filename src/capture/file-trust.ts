import fs from 'node:fs'
import { FsError } from '../fuse/errno.ts'
import { writeSynced } from '../log/store.ts'
import { doubt, forgetCleanStop, identifySegment, writeCleanStop } from '../log/trust.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { parentOf, withFile } from '../util/files.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { Proof } from './proof.ts'
import { damageFound } from './refusal.ts'

const { O_RDONLY } = fs.constants

/** What is known of a database's file without reading it: at the start, while it is served, and for the next start. */
export class FileTrust {
  /** What the file still has to prove: present where the start did not read it. */
  proof: Proof | undefined
  readonly #database: CapturedDatabase
  /** Whether a transaction is under way. */
  readonly #journal: { readonly active: boolean }
  /** The file is as a clean stop left it, and beside its log it is written that it is. */
  #asLeft = false

  constructor(database: CapturedDatabase, journal: { readonly active: boolean }) {
    this.#database = database
    this.#journal = journal
  }

  /** Recovery found what a clean stop left. */
  believe(): void {
    this.#asLeft = true
  }

  /** One of the database's files is about to be opened, or it is about to get a transaction: from here on the file may change. */
  begin(): void {
    const { files, logDir } = this.#database
    if (this.#asLeft && logDir !== undefined) forgetCleanStop(files, logDir)
    this.#asLeft = false
  }

  /** The file is durable, and complete without a WAL, and the page checksums are saved. */
  remember(): void {
    const database = this.#database
    const { files, logDir, position, refusal } = database
    const isUnproven = this.proof !== undefined && !this.proof.ended
    if (logDir === undefined || refusal !== undefined || isUnproven) return
    const file = database.withFile((fd) => files.identity(fd))
    writeCleanStop(files, logDir, { position, file, segment: identifySegment(files, logDir) })
    this.#asLeft = true
  }

  /** A clean end: all durable, so that the data directory is plain SQLite, and the next start has nothing to do. */
  leave(): void {
    const database = this.#database
    const { files, logDir, backfilled } = database
    if (this.#asLeft || logDir === undefined || !database.tracked) return
    database.syncLog()
    database.withFile((fd) => files.sync(fd))
    this.#endJournal()
    const isComplete = backfilled !== undefined && !this.#journal.active
    if (isComplete) writeSynced(files, logDir, backfilled)
    if (database.savePageChecksums() && isComplete) this.remember()
  }

  /** How a transaction's journal ended need not be durable while the log is there; SQLite alone would take the transaction back. */
  #endJournal(): void {
    const { files, path } = this.#database
    if (files.exists(`${path}-journal`)) withFile(files, `${path}-journal`, O_RDONLY, (fd) => files.sync(fd))
    files.syncDirectory(parentOf(path))
  }

  /** Reads what the start did not. Throws FsError. */
  prove(): void {
    const { proof } = this
    for (let pgno = proof?.next(1); pgno !== undefined; pgno = proof?.next(pgno + 1)) this.#database.readFile(pgno)
  }

  /** The file's page, which was just read. Throws FsError where it is not what it must be. */
  check(pgno: Pgno, page: Uint8Array): void {
    if (this.proof?.holds(pgno, page) === false) throw this.refuse(pgno)
  }

  /** Throws FsError where the control plane has found damage. */
  assertSound(): void {
    if (this.proof?.damaged !== undefined) throw this.refuse(this.proof.damaged)
  }

  /** A page of the file is not what the log says (I3): the database is served no more. */
  refuse(pgno: Pgno): FsError {
    const database = this.#database
    const { refusal, logDir = '', files, events, name } = database
    if (refusal !== undefined) return new FsError('EIO', refusal)
    const reason = damageFound(pgno, logDir)
    database.refusal = reason
    this.proof?.setDamaged(pgno)
    events.log('error', `database refused: ${reason}`, { database: name })
    if (logDir !== '') doubt(files, logDir)
    database.publish()
    return new FsError('EIO', reason)
  }

  /** The file is no longer the one that has something to prove. */
  forget(): void {
    this.proof?.end()
    this.proof = undefined
  }
}
