import Database from 'better-sqlite3'

/**
 * A reader that stays open and reads all the time. In every committed state all rows of `t` have the same number, which
 * only grows. Anything else is a state that never was, or an older one after a newer one (I8). It sends 'several' once
 * it has seen SEVERAL states. On 'end' it sends its findings and exits.
 *
 *     cluster-watcher DB
 */
export interface Watched {
  readonly reads: number
  /** The number of different states. */
  readonly states: number
  readonly findings: string[]
}

/** Enough states for a wrong order to be possible. */
const SEVERAL = 4

const [path = ''] = process.argv.slice(2)
const db = new Database(path, { timeout: 60_000, fileMustExist: true, readonly: true })
const read = db.prepare<[], { low: number; high: number; rows: number }>(
  'SELECT min(n) AS low, max(n) AS high, count(*) AS rows FROM t',
)
const findings: string[] = []
let reads = 0
let states = 0
let last = -1
let rows = -1
let ended = false
process.on('message', () => (ended = true))
process.on('disconnect', () => process.exit(ended ? 0 : 1))

function look(): void {
  try {
    const seen = read.get()
    if (seen === undefined) return
    reads++
    if (rows >= 0 && seen.rows !== rows) findings.push(`${seen.rows} rows after ${rows}`)
    if (seen.low !== seen.high) findings.push(`a torn state: ${seen.low} to ${seen.high}`)
    if (seen.low < last) findings.push(`${seen.low} after ${last}`)
    if (seen.low !== last && ++states === SEVERAL) process.send?.('several')
    last = seen.low
    rows = seen.rows
  } catch (error) {
    // A busy error comes from a writer that waits for readers.
    if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_BUSY')) findings.push(String(error))
  }
}

function turn(): void {
  if (ended) {
    process.send?.({ reads, states, findings: findings.slice(0, 5) } satisfies Watched)
    process.disconnect()
    return
  }
  for (let i = 0; i < 20; i++) look()
  setTimeout(turn, 1)
}

process.send?.('open')
turn()
