import Database from 'better-sqlite3'

/** One connection of an application, which runs the statements of its parent (SqlClient). */
export interface SqlOrder {
  readonly id: number
  readonly sql: string
  /** Return the rows. */
  readonly all: boolean
}

export interface SqlAnswer {
  readonly id: number
  readonly rows?: unknown[][]
  readonly error?: { readonly code: string; readonly message: string }
}

const [path = '', timeoutMs = '0'] = process.argv.slice(2)
let db: Database.Database | undefined

process.on('message', ({ id, sql, all }: SqlOrder) => {
  const answer = (rest: Omit<SqlAnswer, 'id'>) => process.send?.({ id, ...rest } satisfies SqlAnswer)
  try {
    db ??= new Database(path, { timeout: Number(timeoutMs) })
    if (sql === 'close') {
      db.close()
      db = undefined
      answer({})
    } else if (all) {
      answer({ rows: db.prepare(sql).raw(true).all() as unknown[][] })
    } else {
      db.exec(sql)
      answer({})
    }
  } catch (error) {
    const code = error instanceof Database.SqliteError ? error.code : 'NOT_SQLITE'
    answer({ error: { code, message: String(error) } })
  }
})
process.on('disconnect', () => process.exit(0))
