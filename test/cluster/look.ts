import { createHash } from 'node:crypto'
import Database from 'better-sqlite3'
import { payloadOf } from '../crash/ledger.ts'

/**
 * Reads a writer's database through a fresh connection, in one read transaction, and prints its content.
 *
 *     cluster-look DB
 */
export interface Look {
  /** Torn transactions and damage. Empty if the database is sound. */
  readonly findings: string[]
  readonly numbers: number[]
  /** The digest of all rows of all tables. */
  readonly digest: string
}

const [path = ''] = process.argv.slice(2)
const db = new Database(path, { timeout: 60_000, fileMustExist: true })
try {
  db.exec('BEGIN')
  const verdict = String(db.pragma('integrity_check', { simple: true }))
  const rows = db.prepare<[], { n: number; payload: Buffer }>('SELECT n, payload FROM entry ORDER BY n').all()
  const tally = db.prepare<[], { entries: number; last: number }>('SELECT entries, last FROM tally').get()
  const digest = createHash('sha256')
  for (const { n, payload } of rows) digest.update(`${n} `).update(payload)
  for (const row of db.prepare('SELECT n, filler FROM churn ORDER BY rowid').iterate()) {
    const { n, filler } = row as { n: number; filler: Buffer }
    digest.update(`${n} `).update(filler)
  }
  const highest = rows.at(-1)?.n ?? 0
  const torn = tally?.entries !== rows.length || tally.last !== highest
  const wrong = rows.filter(({ n, payload }) => !payload.equals(payloadOf(n)))
  const look: Look = {
    findings: [
      ...(verdict === 'ok' ? [] : [`integrity_check: ${verdict}`]),
      ...(torn ? [`a torn transaction: tally ${JSON.stringify(tally)}, ${rows.length} rows up to ${highest}`] : []),
      ...(wrong.length === 0 ? [] : [`wrong payload in ${wrong.length} rows`]),
    ],
    numbers: rows.map(({ n }) => n),
    digest: digest.digest('hex'),
  }
  console.log(JSON.stringify(look))
} finally {
  db.close()
}
