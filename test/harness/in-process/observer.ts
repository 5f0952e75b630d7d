import { foldChecksum, pageChecksum } from '../../../src/ltx/format/checksum.ts'
import type { Checksum } from '../../../src/ltx/format/types.ts'
import { EMPTY_CHECKSUM, lockPgno } from '../../../src/ltx/format/types.ts'
import type { SqliteEngine } from './sqlite-engine.ts'

export interface Observed {
  readonly pages: ReadonlyMap<number, Uint8Array>
  readonly checksum: Checksum
}

/** The pages of a database as SQLite reads them through a new connection. */
export function observe(engine: SqliteEngine, name: string): Observed {
  const connection = engine.open(name)
  try {
    const pages = new Map<number, Uint8Array>()
    let checksum: Checksum = EMPTY_CHECKSUM
    for (const [pgno, data] of connection.exec('SELECT pgno, data FROM sqlite_dbpage') as [number, Uint8Array][]) {
      if (pgno === lockPgno(data.length)) continue
      pages.set(pgno, data)
      checksum = foldChecksum(checksum, pageChecksum(pgno, data))
    }
    return { pages, checksum }
  } finally {
    connection.close()
  }
}
