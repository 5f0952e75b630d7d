import { closeSync, constants, openSync } from 'node:fs'
import { inspectLog } from '../../src/log/open.ts'
import { foldAll } from '../../src/log/page-checksums.ts'
import { scanSegment } from '../../src/log/scan.ts'
import { listSegments } from '../../src/log/segments.ts'
import { listLogs, logDirectory } from '../../src/log/store.ts'
import { formatPosition } from '../../src/ltx/format/types.ts'
import { checksumPages } from '../../src/recovery/repair.ts'
import { nodeFiles as files } from '../../src/util/files.ts'

/**
 * Checks I2 in the logs that a crash left: every record is complete and continues the one before it. Only the end of
 * the newest segment may be torn.
 */
export function checkLogs(dataDirectory: string): string[] {
  return listLogs(files, dataDirectory).flatMap((database) => {
    const segments = listSegments(files, logDirectory(dataDirectory, database))
    let before: { txid: bigint; checksum: bigint } | undefined
    return segments.flatMap(({ path }, i) => {
      const findings: string[] = []
      const fd = openSync(path, constants.O_RDONLY)
      try {
        const { damage } = scanSegment(
          files,
          fd,
          0,
          () => true,
          ({ header, postApplyChecksum }) => {
            const follows =
              before === undefined ||
              (header.minTXID === before.txid + 1n && header.preApplyChecksum === before.checksum)
            if (!follows)
              findings.push(`I2: ${database}: transaction ${header.minTXID} does not follow ${before?.txid}`)
            before = { txid: header.maxTXID, checksum: postApplyChecksum }
          },
        )
        if (damage !== undefined && i < segments.length - 1)
          findings.push(`I2: ${path}: ${damage.problem} at ${damage.offset}`)
      } finally {
        closeSync(fd)
      }
      return findings
    })
  })
}

/** Checks I3 after a clean stop: the pages of each file have the checksum of the log's last transaction. */
export function checkFiles(dataDirectory: string): string[] {
  return listLogs(files, dataDirectory).flatMap((database) => {
    const { last, entries } = inspectLog(files, logDirectory(dataDirectory, database))
    const header = entries.at(-1)?.header
    if (header === undefined) return [`I3: the log of ${database} is empty`]
    const fd = openSync(`${dataDirectory}/files/${database}`, constants.O_RDONLY)
    try {
      const actual = foldAll(checksumPages(files, fd, header.commit, header.pageSize))
      return actual === last.checksum ? [] : [`I3: ${database} does not have the checksum of ${formatPosition(last)}`]
    } finally {
      closeSync(fd)
    }
  })
}
