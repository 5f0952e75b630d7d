import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import Database from 'better-sqlite3'
import { payloadOf } from './ledger.ts'

/**
 * Checks writers' databases through a fresh connection each, in one read transaction, and prints a JSON list of
 * findings. It is empty if every acknowledged number is there and no transaction is torn.
 *
 *     crash-check '[{"path": "DB", "acknowledged": ["FILE-WITH-NUMBERS", …]}, …]'
 */
export interface DatabaseToCheck {
  readonly path: string
  readonly acknowledged: readonly string[]
}

const SHOWN = 5
/** A database with an exclusive writer is free only now and then. */
const BUSY_TIMEOUT_MS = 30_000

const databases = JSON.parse(process.argv[2] ?? '[]') as DatabaseToCheck[]
console.log(JSON.stringify(databases.flatMap(check)))

function check({ path, acknowledged }: DatabaseToCheck): string[] {
  const db = new Database(path, { timeout: BUSY_TIMEOUT_MS, fileMustExist: true })
  try {
    db.exec('BEGIN')
    const findings = [...integrity(db), ...entries(db, acknowledged), ...tally(db)]
    return findings.map((finding) => `${basename(path)}: ${finding}`)
  } finally {
    db.close()
  }
}

function integrity(db: Database.Database): string[] {
  const verdict = String(db.pragma('integrity_check', { simple: true }))
  return verdict === 'ok' ? [] : [`integrity_check: ${verdict}`]
}

function entries(db: Database.Database, files: readonly string[]): string[] {
  const acknowledged = files.flatMap((file) => readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number))
  const rows = db.prepare<[], { n: number; payload: Buffer }>('SELECT n, payload FROM entry').all()
  const present = new Set(rows.map((row) => row.n))
  const missing = acknowledged.filter((n) => !present.has(n))
  const wrong = rows.filter((row) => !row.payload.equals(payloadOf(row.n))).map((row) => row.n)
  return [
    ...(missing.length === 0
      ? []
      : [`${missing.length} of ${acknowledged.length} acknowledged missing: ${some(missing)}`]),
    ...(wrong.length === 0 ? [] : [`wrong payload in ${some(wrong)}`]),
  ]
}

function tally(db: Database.Database): string[] {
  const found = db
    .prepare<[], { entries: number; last: number; counted: number; highest: number }>(
      `SELECT entries, last, (SELECT count(*) FROM entry) AS counted, (SELECT ifnull(max(n), 0) FROM entry) AS highest FROM tally`,
    )
    .get()
  if (found === undefined) return ['the tally is gone']
  if (found.entries === found.counted && found.last === found.highest) return []
  return [`a torn transaction: ${JSON.stringify(found)}`]
}

function some(numbers: readonly number[]): string {
  const rest = numbers.length - SHOWN
  return numbers.slice(0, SHOWN).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
