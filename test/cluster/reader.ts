import { openSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'

/**
 * An application that only reads, beside one node: its connections stay open until one fails. Each line of its output
 * is a state of a database, `DATABASE LAST`, or `!` and what can never be.
 *
 *     cluster-reader --directory MOUNT --output FILE NAME …
 */

const PAUSE_MS = 15

const [, directory = '', , file = '', ...names] = process.argv.slice(2)
const output = openSync(file, 'a')
const say = (line: string) => writeSync(output, `${line}\n`)

class Reader {
  readonly name: string
  #connection: Database.Database | undefined
  #last = -1

  constructor(name: string) {
    this.name = name
  }

  read(): void {
    try {
      this.#connection ??= new Database(`${directory}/${this.name}`, {
        timeout: 0,
        fileMustExist: true,
        readonly: true,
      })
      this.#look(this.#connection)
    } catch (error) {
      if (isFinding(error)) say(`!${this.name}: ${String(error)}`)
      this.#connection?.close()
      this.#connection = undefined
    }
  }

  #look(connection: Database.Database): void {
    const state = connection
      .prepare<[], { entries: number; last: number; rows: number; highest: number | null }>(
        'SELECT entries, last, (SELECT count(*) FROM entry) AS rows, (SELECT max(n) FROM entry) AS highest FROM tally',
      )
      .get()
    if (state === undefined) return
    const { entries, last, rows, highest } = state
    if (entries !== rows || last !== (highest ?? 0)) say(`!${this.name}: a torn state ${JSON.stringify(state)}`)
    if (last !== this.#last) say(`${this.name} ${last}`)
    this.#last = last
  }
}

/** Anything but what SQLite says beside a node that is down, or a database that is replaced. */
function isFinding(error: unknown): boolean {
  if (error instanceof TypeError) return false
  if (!(error instanceof Database.SqliteError)) return true
  if (error.code === 'SQLITE_ERROR') return !error.message.includes('no such table')
  return !/^SQLITE_(IOERR|CANTOPEN|READONLY|BUSY|PROTOCOL|SCHEMA)/.test(error.code)
}

const readers = names.map((name) => new Reader(name))
process.on('disconnect', () => process.exit())
setInterval(() => {
  for (const reader of readers) reader.read()
}, PAUSE_MS)
