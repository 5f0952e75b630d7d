import type { Pgno, Position } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import type { Authority } from './authority.ts'
import type { FileState } from './backing-file.ts'
import type { Change, ChangeEnd } from './change.ts'
import type { CaptureEvents, PublishedDatabase } from './events.ts'
import type { Expectation, Expectations } from './expected.ts'

/**
 * A database as the parts of capture see it: what is committed, where its pages are, and the only way to commit a
 * change. `Database` implements it. Trackers depend on this interface alone, so that no tracker can reach another
 * through it.
 */
export interface CapturedDatabase extends PublishedDatabase {
  /** Path of the backing file. */
  readonly path: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly authority: Authority
  /** On a replica: the transactions that the local client announced and has not written yet. */
  readonly expectations: Expectations
  /** Descriptor of the open WAL; -1 while it is closed. */
  readonly walFd: number
  walMode: boolean
  pageSize: number
  rejection: string | undefined
  readonly logDir: string | undefined
  /** How many transactions of this database were appended to the log; `assertLogged` compares it (I1). */
  readonly appended: number
  /** Appends `change` to the log as the next transaction. Throws FsError; then nothing has changed. */
  commit(change: Change): void
  /** Appends the whole file as the next transaction. `sizePages`: by default what its header says. */
  importFile(sizePages?: number, end?: ChangeEnd): Position
  /** The page's content in the database file, valid until the next read. */
  readFile(pgno: Pgno): Uint8Array
  /** The page's content in frame `index` of the WAL, valid until the next read. */
  readFrame(index: number): Uint8Array
  /**
   * Header and size in pages, read from the file; undefined if the file is missing or holds no database. `announced`:
   * the transaction that has been written into it, which knows the page size of an encrypted one.
   */
  fileState(announced?: Expectation): FileState | undefined
  withFile<T>(use: (fd: number) => T): T
  syncLog(): void
  /** Saves the page checksums beside the log; false if that failed. */
  savePageChecksums(): boolean
  /** Publishes the new position to the control plane. */
  publish(): void
}
