/** Rolls back a journal that was copied in with its database: what it restores is in no log (log/copied-journal.ts). */

import fs from 'node:fs'
import { pagesOf } from '../capture/change.ts'
import type { Database } from '../capture/database.ts'
import { missingPages } from '../capture/growth.ts'
import { assertMemory } from '../capture/memory.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import type { Journal } from '../sqlite/journal.ts'
import type { PageList } from '../sqlite/page-list.ts'
import { readerOf, withFile } from '../util/files.ts'
import { writePages } from './capture-leftovers.ts'
import { checksumPages } from './repair.ts'
import { differs, Unrecoverable } from './residue.ts'

const { O_RDONLY } = fs.constants

/**
 * Commits what `journal` restores, and then writes it to the file. The pages that it restores may have either content
 * there; all others are compared with the log.
 */
export function captureRollback(database: Database, journal: Journal): void {
  const { files, path, name } = database
  const { pageSize, initialSizePages: commit, records } = journal
  const restored = records.pages()
  assertUnchanged(database, restored)
  const originals = new Map(Array.from(records, ({ pgno, dataOffset }) => [pgno, dataOffset]))
  const filePages = database.withFile((fd) => Math.ceil(files.size(fd) / pageSize))
  if (commit === 0) throw new Unrecoverable('a journal was copied in with it that leaves nothing of it')
  if (commit > filePages + originals.size + 1)
    throw new Unrecoverable(`a journal was copied in with it that claims ${commit} pages, of which nobody has most`)
  const whole = pageSize !== database.pageSize
  withFile(files, `${path}-journal`, O_RDONLY, (fd) => {
    const original = readerOf(files, fd)
    const page = (pgno: Pgno) => {
      const at = originals.get(pgno)
      return at === undefined ? database.readFile(pgno) : original(at, pageSize)
    }
    const { sizePages } = database.pages
    database.pageSize = pageSize
    const lock = lockPgno(pageSize)
    const changed = restored
      .sorted()
      .filter((pgno) => pgno <= commit && pgno !== lock)
      .filter((pgno) => whole || pageChecksum(pgno, page(pgno)) !== database.pages.checksum(pgno))
    const pgnos = whole ? pagesOf(commit, pageSize) : missingPages(changed, sizePages, commit, pageSize)
    if (pgnos.length === 0 && commit === sizePages) return
    assertMemory(database, commit, pgnos.length)
    database.commit({ commit, pgnos, read: page, ...(whole && { whole }) })
    writePages(database, commit, pgnos, page)
  })
  const message = 'a journal that was copied in with the database was rolled back'
  database.events.log('info', message, { database: name })
}

/** Throws Unrecoverable. */
function assertUnchanged(database: Database, except: PageList): void {
  const { files, pages, pageSize, position } = database
  const found = database.withFile((fd) => checksumPages(files, fd, pages.sizePages, pageSize))
  const at = found.findIndex((checksum, i) => checksum !== pages.checksum(i + 1) && !except.has(i + 1))
  if (at >= 0) throw differs(position, `; first differing page: ${at + 1}`)
}
