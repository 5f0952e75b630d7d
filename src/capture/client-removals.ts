import type { Caller } from '../fuse/content.ts'
import { FsError } from '../fuse/errno.ts'
import type { DatabaseInodes } from '../sqlite/database-files.ts'
import type { Files } from '../util/files.ts'
import { type Authority, SOLE } from './authority.ts'
import type { FileKind } from './naming.ts'

export interface ClientRemovalsOptions {
  readonly root: string
  readonly files: Files
  readonly authority?: Authority
}

/**
 * The removals of -wal and -shm that the local client announced on a primary. The client locked files that it had
 * opened; an application may have removed these since, and made the database anew under the same name. Only here, in
 * the one thread through which every change of a name goes, does a comparison hold until the removal.
 */
export class ClientRemovals {
  readonly #root: string
  readonly #files: Files
  readonly #authority: Authority
  readonly #announced = new Map<string, DatabaseInodes>()

  /** `root`: the backing directory. */
  constructor({ root, files, authority = SOLE }: ClientRemovalsOptions) {
    this.#root = root
    this.#files = files
    this.#authority = authority
  }

  announce(database: string, inodes: DatabaseInodes): void {
    this.#announced.set(database, inodes)
  }

  /** Whether the client speaks of the database and the WAL that have these names now. */
  areNamed(database: string, inodes: DatabaseInodes): boolean {
    return this.#isNamed(database, '', inodes.database) && this.#isNamed(database, '-wal', inodes.wal)
  }

  #isNamed(database: string, suffix: string, ino: number): boolean {
    const path = `${this.#root}/${database}${suffix}`
    return this.#files.exists(path) && this.#files.status(path)?.ino === ino
  }

  /** Throws FsError when the client removes a WAL or a wal-index, unless it announced the removal of just this file. */
  assertAnnounced(database: string, kind: FileKind, caller: Caller): void {
    const authority = this.#authority.of?.(database) ?? this.#authority
    if ((kind !== 'wal' && kind !== 'shm') || !authority.leads || !authority.isClient(caller)) return
    const inodes = this.#announced.get(database)
    const isSame = (suffix: string, ino: number) => this.#isNamed(database, suffix, ino)
    if (inodes !== undefined && isSame('', inodes.database) && isSame(`-${kind}`, inodes[kind])) return
    this.#announced.delete(database)
    throw new FsError('ESTALE', `${database}-${kind} is not the file that the local client has locked: it stays`)
  }
}
