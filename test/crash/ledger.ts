import { createHash } from 'node:crypto'

/** The content of the writer's database, from which another process can tell which rows must be there. */

/**
 * `entry` has one row for each committed number. `tally` changes in the same transaction, so it shows a torn one.
 * `churn` has pages that come and go.
 */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entry (n INTEGER PRIMARY KEY, payload BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS tally (id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL, last INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS churn (n INTEGER NOT NULL, filler BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS churn_n ON churn (n);
  INSERT OR IGNORE INTO tally VALUES (1, 0, 0);
`

/** The bytes of entry `n`, which a reader recomputes. */
export function payloadOf(n: number): Buffer {
  return createHash('sha256').update(`entry ${n}`).digest()
}
