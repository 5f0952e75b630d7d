import type { Pgno, Position } from '../ltx/format/types.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import type { Files } from '../util/files.ts'
import type { Authority } from './authority.ts'
import type { Change } from './change.ts'
import type { CaptureEvents, PublishedDatabase } from './events.ts'
import type { Expectations } from './expected.ts'

/**
 * A database as the parts of capture see it: what is committed, where its pages are, and the one way to commit a change.
 * `Database` implements it; trackers depend on this alone, so that no tracker can reach another through it.
 */
export interface CapturedDatabase extends PublishedDatabase {
  /** Of the backing file. */
  readonly path: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly authority: Authority
  /** On a replica: the transactions that the local client announced. */
  readonly expectations: Expectations
  /** Descriptor of the open WAL; -1 while it is closed. */
  readonly walFd: number
  walMode: boolean
  refusal: string | undefined
  readonly logDir: string | undefined
  /** How many transactions of this database were appended to the log: `assertLogged` counts on it. */
  readonly appended: number
  /** Appends `change` to the log as the next transaction. On failure nothing has changed. Throws FsError. */
  commit(change: Change): void
  /** Appends the whole file as the next transaction. */
  importFile(): Position
  /** A page as the database file has it, valid until the next read. */
  readFile(pgno: Pgno): Uint8Array
  /** A page as frame `index` of the WAL has it, valid until the next read. */
  readFrame(index: number): Uint8Array
  /** Header and size in pages as the file has them; undefined where there is no database. */
  fileState(): { header: DatabaseHeader; sizePages: number } | undefined
  withFile<T>(use: (fd: number) => T): T
  syncLog(): void
  /** Saves the page checksums beside the log; false where that failed. */
  savePageChecksums(): boolean
  /** Shows the new position to the control plane. */
  publish(): void
}
