import fs from 'node:fs'
import { PageTable } from './pages.ts'
import { foldAll, readPageChecksums } from '../log/page-checksums.ts'
import { readPages, scanSegment } from '../log/scan.ts'
import { listSegments } from '../log/segments.ts'
import { pageChecksum } from '../ltx/checksum.ts'
import type { Position } from '../ltx/types.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'

/**
 * The checksum that each page should have at `target`: the saved table, carried forward by the log; or from the log alone if it reaches
 * back to the first transaction. undefined when neither gets there.
 */
export function pageChecksumsFromLog(files: Files, logDir: string, target: Position): BigUint64Array | undefined {
  const newest = readPageChecksums(files, `${logDir}/pages.bin`)
  // a power loss can take back transactions that the saved table has
  const saved = newest !== undefined && newest.position.txid <= target.txid ? newest : undefined
  const segments = listSegments(files, logDir)
  const from = saved?.position.txid ?? 0n
  const reaches = segments[0] === undefined ? from === target.txid : segments[0].first <= from + 1n
  if (!reaches) return undefined
  const table = new PageTable(saved?.checksums.slice() ?? new BigUint64Array(0))
  for (const { path } of segments) {
    withFile(files, path, fs.constants.O_RDONLY, (fd) =>
      scanSegment(
        files,
        fd,
        0,
        () => false,
        (entry) => {
          const { header } = entry
          if (header.minTXID <= from || header.maxTXID > target.txid) return
          table.resize(header.commit)
          readPages(files, fd, entry, (pgno, page) => table.setChecksum(pgno, pageChecksum(pgno, page)))
        },
      ),
    )
  }
  const checksums = table.snapshot()
  return foldAll(checksums) === target.checksum ? checksums : undefined
}
