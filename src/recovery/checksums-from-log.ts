import fs from 'node:fs'
import { foldAll, peekPageChecksums, readPageChecksums } from '../log/page-checksums.ts'
import { readPages, scanSegment } from '../log/scan.ts'
import type { SegmentName } from '../log/segments.ts'
import { listSegments } from '../log/segments.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { LTXError } from '../ltx/format/errors.ts'
import { PAGE_HEADER_SIZE } from '../ltx/format/header.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { PageTable } from '../sqlite/page-table.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'

/** Whether `pageChecksumsFromLog` should succeed. Reads almost nothing. */
export function knowsPageChecksums(files: Files, logDir: string, target: TXID): boolean {
  const saved = peekPageChecksums(files, `${logDir}/pages.bin`) ?? (0n as TXID)
  return reaches(listSegments(files, logDir), saved <= target ? saved : (0n as TXID), target)
}

/**
 * The checksum that each page must have at `target`: the saved table, advanced by the log; or from the log alone if it
 * reaches back to the first transaction. undefined if neither reaches `target`.
 */
export function pageChecksumsFromLog(files: Files, logDir: string, target: Position): BigUint64Array | undefined {
  try {
    return derive(files, logDir, target)
  } catch (error) {
    // Records that the file already held durably were not verified before: one of them is damaged.
    if (!(error instanceof LTXError)) throw error
    return undefined
  }
}

function derive(files: Files, logDir: string, target: Position): BigUint64Array | undefined {
  const newest = readPageChecksums(files, `${logDir}/pages.bin`)
  // After a power loss the saved table may be ahead of the log.
  const saved = newest !== undefined && newest.position.txid <= target.txid ? newest : undefined
  const segments = listSegments(files, logDir)
  const from = saved?.position.txid ?? (0n as TXID)
  if (!reaches(segments, from, target.txid)) return undefined
  let isExplained = true
  const table = new PageTable(saved?.checksums.slice() ?? new BigUint64Array(0))
  const start = segments.findLastIndex(({ first }) => first <= from + 1n)
  for (const { path } of from === target.txid ? [] : segments.slice(Math.max(0, start))) {
    withFile(files, path, fs.constants.O_RDONLY, (fd) =>
      scanSegment(
        files,
        fd,
        0,
        () => false,
        (entry) => {
          const { header } = entry
          if (!isExplained || header.minTXID <= from || header.maxTXID > target.txid) return
          // A transaction that grows the database brings every page by which it grows.
          isExplained = header.commit - table.sizePages <= entry.sizeBytes / PAGE_HEADER_SIZE
          if (!isExplained) return
          table.resize(header.commit)
          readPages(files, fd, entry, (pgno, page) => table.setChecksum(pgno, pageChecksum(pgno, page)))
        },
      ),
    )
  }
  if (!isExplained) return undefined
  const checksums = table.snapshot()
  return foldAll(checksums) === target.checksum ? checksums : undefined
}

/** Whether the log continues where a table at `from` ends. */
function reaches(segments: readonly SegmentName[], from: TXID, target: TXID): boolean {
  return from === target || (segments[0] !== undefined && segments[0].first <= from + 1n)
}
