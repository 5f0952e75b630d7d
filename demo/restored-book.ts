import Database from 'better-sqlite3'
import type { StoredOrder } from './matching.ts'

/** The content of a restored database, opened as a plain SQLite file. */
export interface RestoredBook {
  readonly orders: readonly StoredOrder[]
  /** The result of SQLite's integrity check. */
  readonly integrity: string
}

export function readRestoredBook(file: string): RestoredBook {
  const db = new Database(file, { readonly: true, fileMustExist: true })
  try {
    return {
      orders: db.prepare<[], StoredOrder>('SELECT * FROM orders ORDER BY sequence').all(),
      integrity: String(db.pragma('integrity_check', { simple: true })),
    }
  } finally {
    db.close()
  }
}
