import Database from 'better-sqlite3'
import type { StoredOrder } from './matching.ts'

/** What a restored database file holds, opened as the plain SQLite file that it is. */
export interface RestoredBook {
  readonly orders: readonly StoredOrder[]
  /** SQLite's verdict: `ok`, or what is wrong. */
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
