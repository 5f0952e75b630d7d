import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { payloadOf } from './ledger.ts'

/**
 * Looks at the writer's database with a fresh connection, in one read transaction, and prints a list of what is wrong
 * as JSON: empty when every acknowledged number is there and nothing is torn.
 *
 *     node --import tsx check.ts DB FILE-WITH-THE-ACKNOWLEDGED-NUMBERS
 */

const SHOWN = 5
const [path = '', acknowledgedFile = ''] = process.argv.slice(2)

const db = new Database(path, { timeout: 10_000, fileMustExist: true })
try {
  db.exec('BEGIN')
  console.log(JSON.stringify([...integrity(), ...entries(), ...tally()]))
} finally {
  db.close()
}

function integrity(): string[] {
  const verdict = String(db.pragma('integrity_check', { simple: true }))
  return verdict === 'ok' ? [] : [`integrity_check: ${verdict}`]
}

function entries(): string[] {
  const acknowledged = readFileSync(acknowledgedFile, 'utf8').split('\n').filter(Boolean).map(Number)
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

function tally(): string[] {
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
