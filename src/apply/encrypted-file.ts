import fs from 'node:fs'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, lockPgno } from '../ltx/format/types.ts'
import { DATABASE_MAGIC_SIZE, type DatabaseHeader, encryptedHeader, isUnreadable } from '../sqlite/database-header.ts'
import { pageSizesOf } from '../sqlite/page-sizes.ts'
import { exchange } from '../sqlite/page-table.ts'
import { parseWalHeader, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { nodeFiles, readerOf, withFile } from '../util/files.ts'
import { hasWal } from './beside.ts'
import type { DatabaseFile } from './database-file.ts'
import type { Positions } from './positions.ts'

/** What an encrypted database is told by. */
export interface Known {
  readonly positions: Pick<Positions, 'find' | 'last'>
  /** A database with a history may be at none of these positions. */
  readonly acceptUnknown: boolean
}

/** Whether the file has content without a SQLite header. */
export function mayBeEncrypted(file: DatabaseFile): boolean {
  return isUnreadable(file.read(0, DATABASE_MAGIC_SIZE))
}

/**
 * The header of a database whose first page is encrypted. Its WAL tells the page size; without one, the database has a
 * known checksum with pages of one size only. undefined if it has none.
 */
export function identifyEncrypted(file: DatabaseFile, { positions, acceptUnknown }: Known): DatabaseHeader | undefined {
  if (!mayBeEncrypted(file)) return undefined
  const pageSizes = pageSizesOf(file.sizeBytes())
  const isKnown = (pageSize: number) => positions.find(checksumOf(file, pageSize)) !== undefined
  const likeliest = acceptUnknown && positions.last !== undefined ? pageSizes[0] : undefined
  const pageSize = (hasWal(file) ? walPageSize(file) : undefined) ?? pageSizes.find(isKnown) ?? likeliest
  return pageSize === undefined ? undefined : encryptedHeader(pageSize)
}

function walPageSize({ path, files }: DatabaseFile): number | undefined {
  const bytes = withFile(files, `${path}-wal`, fs.constants.O_RDONLY, (fd) =>
    readerOf(nodeFiles, fd)(0, WAL_HEADER_SIZE),
  )
  return parseWalHeader(bytes)?.pageSize
}

function checksumOf(file: DatabaseFile, pageSize: number): Checksum {
  const lock = lockPgno(pageSize)
  let checksum = EMPTY_CHECKSUM
  for (let pgno = 1; pgno <= file.sizeBytes() / pageSize; pgno++) {
    if (pgno === lock) continue
    checksum = exchange(checksum, 0n, pageChecksum(pgno, file.read((pgno - 1) * pageSize, pageSize)))
  }
  return checksum
}
