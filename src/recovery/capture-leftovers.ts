/** Captures committed transactions that a crash left in a journal or a WAL, and that the log lacks. */

import fs from 'node:fs'
import type { Database } from '../capture/database.ts'
import { isExplainedGrowth, missingPages } from '../capture/growth.ts'
import { assertMemory } from '../capture/memory.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import { pagesOf } from '../sqlite/locks.ts'
import type { Pgnos } from '../sqlite/page-list.ts'
import { frameSize } from '../sqlite/wal.ts'
import type { WalContent } from '../sqlite/wal-scan.ts'
import { readerOf, withFile } from '../util/files.ts'
import type { DecidedTransaction } from './decided.ts'
import { Unrecoverable } from './residue.ts'

const { O_RDONLY } = fs.constants

/** Commits the transaction again, unless the log already holds it. */
export function captureDecided(database: Database, decided: DecidedTransaction): void {
  const lock = lockPgno(database.pageSize)
  const read = (pgno: Pgno) => decided.read(pgno) ?? database.readFile(pgno)
  const changed = decided.pgnos.filter(
    (pgno) => pgno !== lock && pageChecksum(pgno, read(pgno)) !== database.pages.checksum(pgno),
  )
  const pgnos = missingPages(changed, database.pages.sizePages, decided.sizePages, database.pageSize)
  if (pgnos.length === 0 && decided.sizePages === database.pages.sizePages) return
  writePages(database, decided.sizePages, pgnos, read)
  database.commit({ commit: decided.sizePages, pgnos, read: (pgno) => database.readFile(pgno) })
}

/** Commits the WAL's transactions except the first `inLog`, and writes them to the database file. */
export function captureWal(database: Database, { header, transactions }: WalContent, inLog: number): void {
  const { files, path } = database
  const { pageSize, salt1, salt2 } = header
  const lock = lockPgno(pageSize)
  withFile(files, `${path}-wal`, O_RDONLY, (walFd) => {
    const read = readerOf(files, walFd)
    for (const { start, end, commit, pages } of transactions.slice(inLog)) {
      const changed = pages.pgnos.filter((pgno) => pgno <= commit && pgno !== lock)
      const whole = pageSize !== database.pageSize
      if (whole && changed.length !== pagesOf(commit, lock)) {
        throw new Unrecoverable(`its WAL has page size ${pageSize}, expected the database's ${database.pageSize}`)
      }
      const { sizePages: before } = database.pages
      if (!isExplainedGrowth((end - start) / frameSize(pageSize), before, commit, pageSize)) {
        throw new Unrecoverable(`its WAL claims a database of ${commit} pages, which its frames do not explain`)
      }
      assertMemory(database, commit, changed.length)
      const [only] = changed
      const isRepeated = !whole && changed.length === 1 && only !== undefined && commit === before
      // SQLite pads a commit to a sector with copies of its last frame: they are no transactions.
      if (isRepeated && pageChecksum(only, read(pages.get(only) as number, pageSize)) === database.pages.checksum(only))
        continue
      const pgnos = whole ? changed : missingPages(changed, before, commit, pageSize)
      const page = (pgno: Pgno) => {
        const at = pages.get(pgno)
        return at === undefined ? database.readFile(pgno) : read(at, pageSize)
      }
      const wal = { offset: start, size: end - start, salt1, salt2 }
      database.pageSize = pageSize
      database.commit({ commit, pgnos, read: page, wal, ...(whole && { whole }) })
      writePages(database, commit, pgnos, page)
    }
  })
  database.walMode = database.fileState()?.header.journalMode === 'wal'
}

/** Makes the file what `page` says. */
export function writePages(database: Database, commit: number, pgnos: Pgnos, page: (pgno: Pgno) => Uint8Array): void {
  const { files, pageSize } = database
  database.withFile((fd) => {
    for (const pgno of pgnos) files.write(fd, page(pgno), 0, pageSize, (pgno - 1) * pageSize)
    files.truncate(fd, commit * pageSize)
  })
}
