import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import type { Pgnos } from '../sqlite/page-list.ts'

/** Where a transaction lies in the WAL. */
export interface WalSpan {
  readonly offset: number
  readonly size: number
  readonly salt1: number
  readonly salt2: number
}

/** How a change becomes a transaction. */
export interface ChangeEnd {
  /** It is durable before it counts. */
  readonly durable?: boolean
  /** It is committed already: its super-journal is gone. */
  readonly decided?: boolean
}

/** A change of the database that becomes one LTX transaction. */
export interface Change extends ChangeEnd {
  /** Database size in pages after the change; 0 drops the database. */
  readonly commit: number
  /** Ascending, without the lock page, none beyond `commit`. Includes every page by which the database grows. */
  readonly pgnos: Pgnos
  /** The page's new content, valid until the next call. */
  readonly read: (pgno: Pgno) => Uint8Array
  readonly wal?: WalSpan
  /** No old page remains: a first import, a replaced file, or another page size. */
  readonly whole?: boolean
}

/** All pages of a database except the lock page, ascending. */
export function pagesOf(sizeInPages: number, pageSize: number): Uint32Array {
  const lock = lockPgno(pageSize)
  const pgnos = new Uint32Array(sizeInPages < lock ? sizeInPages : sizeInPages - 1)
  for (let i = 0; i < pgnos.length; i++) pgnos[i] = i + 1 < lock ? i + 1 : i + 2
  return pgnos
}
