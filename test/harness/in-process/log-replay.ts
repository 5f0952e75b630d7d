import assert from 'node:assert/strict'
import fs from 'node:fs'
import { isEmpty } from '../../../src/log/dropped.ts'
import type { LogState } from '../../../src/log/open.ts'
import { inspectLog } from '../../../src/log/open.ts'
import { readPages, scanSegment } from '../../../src/log/scan.ts'
import { listSegments } from '../../../src/log/segments.ts'
import { logDirectory } from '../../../src/log/store.ts'
import { foldChecksum, pageChecksum } from '../../../src/ltx/format/checksum.ts'
import type { Header } from '../../../src/ltx/format/header.ts'
import type { Checksum, Position, TXID } from '../../../src/ltx/format/types.ts'
import { EMPTY_CHECKSUM, lockPgno } from '../../../src/ltx/format/types.ts'
import type { Files } from '../../../src/util/files.ts'
import { nodeFiles, withFile } from '../../../src/util/files.ts'

/** A database rebuilt from the log alone. */
export class ReplayedDatabase {
  pageSize = 0
  commit = 0
  txid = 0n as TXID
  checksum: Checksum = EMPTY_CHECKSUM
  readonly pages = new Map<number, Buffer>()

  /** Computes the checksum of all pages. */
  computeChecksum(): Checksum {
    let sum: Checksum = EMPTY_CHECKSUM
    for (const [pgno, page] of this.pages) sum = foldChecksum(sum, pageChecksum(pgno, page))
    return sum
  }

  /** The bytes of the database file. */
  bytes(): Buffer {
    const bytes = Buffer.alloc(this.commit * this.pageSize)
    for (const [pgno, page] of this.pages) bytes.set(page, (pgno - 1) * this.pageSize)
    return bytes
  }

  apply(header: Header, pages: Iterable<readonly [number, Uint8Array]>): void {
    if (header.commit === 0 || header.pageSize !== this.pageSize) this.pages.clear()
    this.pageSize = header.pageSize
    for (const [pgno, page] of pages) this.pages.set(pgno, Buffer.from(page))
    for (const pgno of Array.from(this.pages.keys())) if (pgno > header.commit) this.pages.delete(pgno)
    this.commit = header.commit
    this.txid = header.maxTXID
  }
}

/**
 * Reads a log from its first transaction on, or from the drop after which it begins, and checks I2 and every checksum.
 * `visit` gets the database after each transaction.
 */
export function replayLog(
  dataDir: string,
  name: string,
  visit: (database: ReplayedDatabase, header: Header) => void = () => {},
  files: Files = nodeFiles,
): ReplayedDatabase {
  const dir = logDirectory(dataDir, name)
  const database = new ReplayedDatabase()
  const state = inspectLog(files, dir)
  assert.equal(state.torn, undefined, 'the log ends with a complete record')
  const drop = droppedBefore(state)
  if (drop !== undefined) Object.assign(database, drop)
  for (const { path } of listSegments(files, dir)) {
    withFile(files, path, fs.constants.O_RDONLY, (fd) => {
      const { damage } = scanSegment(
        files,
        fd,
        0,
        () => true,
        (entry) => {
          const { header } = entry
          assert.equal(header.minTXID, database.txid + 1n, 'I2: TXIDs ascend by one')
          if (database.txid > 0n) assert.equal(header.preApplyChecksum, database.checksum, 'I2: the chain of checksums')
          const pages: [number, Uint8Array][] = []
          readPages(files, fd, entry, (pgno, page) => pages.push([pgno, page.slice()]))
          const before = database.commit
          database.apply(header, pages)
          database.checksum = entry.postApplyChecksum
          assert.equal(
            database.computeChecksum(),
            database.checksum,
            `the pages after transaction ${header.maxTXID} have its post-apply checksum`,
          )
          assertComplete(database, before, new Set(pages.map(([pgno]) => pgno)))
          visit(database, header)
        },
      )
      assert.equal(damage, undefined)
    })
  }
  return database
}

/** Asserts that a transaction that grows the database contains every new page. */
function assertComplete(database: ReplayedDatabase, before: number, carried: ReadonlySet<number>): void {
  for (let pgno = before + 1; pgno <= database.commit; pgno++) {
    if (pgno !== lockPgno(database.pageSize))
      assert.ok(carried.has(pgno), `page ${pgno} is new, and in the transaction`)
  }
  assert.equal(database.pages.size, database.commit - (database.commit >= lockPgno(database.pageSize) ? 1 : 0))
}

/** A log without its beginning goes on from a drop: with no pages. */
function droppedBefore({ base, first }: LogState): Position | undefined {
  return base.txid > 0n && isEmpty(base) && (first === undefined || first === base.txid + 1n) ? base : undefined
}
