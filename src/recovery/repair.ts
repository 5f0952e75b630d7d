/**
 * Changes that recovery makes to a database's file. None of them goes through SQLite, so none may run while a file is
 * open on the mount.
 */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { PublishedDatabase } from '../capture/events.ts'
import type { LocatedEntry, LogState } from '../log/open.ts'
import { inspectLog } from '../log/open.ts'
import { foldAll } from '../log/page-checksums.ts'
import { readPages } from '../log/scan.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { formatChecksum, lockPgno } from '../ltx/format/types.ts'
import type { Journal } from '../sqlite/journal.ts'
import type { WalContent } from '../sqlite/wal-scan.ts'
import type { Files } from '../util/files.ts'
import { makeDurableDirectory, parentOf, readerOf, withFile } from '../util/files.ts'

const { O_RDONLY, O_RDWR, O_CREAT } = fs.constants
const CHUNK_SIZE = 1 << 20

/** Restores every page in the journal, and the file's old size. */
export function rollBackJournal(files: Files, path: string, journal: Journal): void {
  const { pageSize, initialSizePages } = journal
  withFile(files, path, O_RDWR, (fd) => {
    withFile(files, `${path}-journal`, O_RDONLY, (journalFd) => {
      const read = readerOf(files, journalFd)
      for (const { pgno, dataOffset } of journal.records) {
        if (pgno > initialSizePages) continue
        files.write(fd, read(dataOffset, pageSize), 0, pageSize, (pgno - 1) * pageSize)
      }
    })
    files.truncate(fd, initialSizePages * pageSize)
  })
}

/** Applies the log's transactions in order, creating the file if it is missing. */
export function replayLog(files: Files, path: string, entries: readonly LocatedEntry[]): void {
  makeDurableDirectory(files, parentOf(path))
  withFile(files, path, O_RDWR | O_CREAT, (fd) => {
    for (const entry of entries) {
      const { pageSize, commit } = entry.header
      withFile(files, entry.segment, O_RDONLY, (segment) =>
        readPages(files, segment, entry, (pgno, page) => files.write(fd, page, 0, pageSize, (pgno - 1) * pageSize)),
      )
      files.truncate(fd, commit * pageSize)
    }
  })
}

/**
 * Restores from the log every page that rolling back `journal` may have damaged: the newest version of each page that
 * the log still holds. With synchronous=NORMAL the journal's end is not fsynced, so a power loss can bring back an old
 * journal, or a mixture of two, which its weak checksums do not reveal. Then pages were rolled back that no replayed
 * transaction has changed since.
 */
export function restorePages(files: Files, path: string, log: LogState, journal: Journal): void {
  const rolledBack = journal.records.pages()
  const { entries } = inspectLog(files, log.dir, log.first)
  const pageSize = entries.at(-1)?.header.pageSize
  withFile(files, path, O_RDWR, (fd) => {
    for (const entry of entries) {
      if (entry.header.pageSize !== pageSize) continue
      withFile(files, entry.segment, O_RDONLY, (segment) =>
        readPages(files, segment, entry, (pgno, page) => {
          const damaged = rolledBack.has(pgno) || pgno > journal.initialSizePages
          if (damaged) files.write(fd, page, 0, pageSize, (pgno - 1) * pageSize)
        }),
      )
    }
  })
}

/** Writes the WAL's committed pages to the file, as a checkpoint does. */
export function foldWal(files: Files, path: string, wal: WalContent): void {
  const { pageSize } = wal.header
  withFile(files, path, O_RDWR, (fd) => {
    withFile(files, `${path}-wal`, O_RDONLY, (walFd) => {
      const read = readerOf(files, walFd)
      for (const { commit, pages } of wal.transactions) {
        for (const [pgno, at] of pages) files.write(fd, read(at, pageSize), 0, pageSize, (pgno - 1) * pageSize)
        files.truncate(fd, commit * pageSize)
      }
    })
  })
}

/** The checksums of pages 1 to `commit`; 0 for the lock page. */
export function checksumPages(files: Files, fd: number, commit: number, pageSize: number): BigUint64Array {
  const checksums = new BigUint64Array(commit)
  const lock = lockPgno(pageSize)
  const perChunk = CHUNK_SIZE / pageSize
  const chunk = new Uint8Array(CHUNK_SIZE)
  for (let first = 1; first <= commit; first += perChunk) {
    const count = Math.min(perChunk, commit - first + 1)
    const n = files.read(fd, chunk, 0, count * pageSize, (first - 1) * pageSize)
    chunk.fill(0, n)
    for (let i = 0; i < count; i++) {
      const pgno = first + i
      if (pgno !== lock) checksums[pgno - 1] = pageChecksum(pgno, chunk.subarray(i * pageSize, (i + 1) * pageSize))
    }
  }
  return checksums
}

/** Returns a function that reads whole pages; beyond the end of the file it reads zeros. */
export function pageReader(files: Files, fd: number, pageSize: number): (pgno: Pgno) => Uint8Array {
  return (pgno) => {
    const page = new Uint8Array(pageSize)
    files.read(fd, page, 0, pageSize, (pgno - 1) * pageSize)
    return page
  }
}

/** Asserts I3 before recovery removes its sources. `pages` are the checksums of what the file now holds. */
export function assertExact({ name, pages, position }: PublishedDatabase): void {
  const sum = foldAll(pages.snapshot())
  const [found, expected] = [sum, position.checksum].map(formatChecksum)
  assert.equal(
    sum,
    position.checksum,
    `I3: ${name} was recovered with checksum ${found}, its log ends with ${expected}`,
  )
}
