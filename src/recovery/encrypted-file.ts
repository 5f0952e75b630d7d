import { headerProblem } from '../capture/backing-file.ts'
import type { LogState } from '../log/open.ts'
import { foldAll } from '../log/page-checksums.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import { DATABASE_HEADER_SIZE, encryptedHeader, isUnreadable, parseDatabaseHeader } from '../sqlite/database-header.ts'
import { pageSizesOf } from '../sqlite/page-sizes.ts'
import type { Files } from '../util/files.ts'
import { readerOf } from '../util/files.ts'
import { pageChecksumsFromLog } from './checksums-from-log.ts'
import { checksumPages, pageReader } from './repair.ts'
import { Unrecoverable } from './residue.ts'

/**
 * The header of the database's file, which holds the log's last transaction. Throws Unrecoverable if the file has none,
 * unless its first page is encrypted: it has the checksum that the log records.
 */
export function readHeader(files: Files, fd: number, log: LogState): DatabaseHeader {
  const bytes = readerOf(files, fd)(0, DATABASE_HEADER_SIZE)
  const header = parseDatabaseHeader(bytes)
  if (header !== undefined) return header
  const pageSize = isUnreadable(bytes) ? findPageSize(files, fd, log) : undefined
  if (pageSize === undefined) throw new Unrecoverable(`its file cannot be read: ${headerProblem(bytes)}`)
  return encryptedHeader(pageSize)
}

/** The page size of an encrypted database; undefined if the first page is not as the log says. */
function findPageSize(files: Files, fd: number, { dir, entries, last }: LogState): number | undefined {
  const known = entries.at(-1)?.header.pageSize
  const sizeBytes = files.size(fd)
  const checksums = pageChecksumsFromLog(files, dir, last)
  const pageSizes = known === undefined ? pageSizesOf(sizeBytes) : [known]
  return pageSizes.find((pageSize) => {
    if (checksums !== undefined) return pageChecksum(1, pageReader(files, fd, pageSize)(1)) === checksums[0]
    const sizePages = entries.at(-1)?.header.commit ?? sizeBytes / pageSize
    return sizeBytes >= sizePages * pageSize && foldAll(checksumPages(files, fd, sizePages, pageSize)) === last.checksum
  })
}
