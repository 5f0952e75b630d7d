/** The LTX checksum and snapshot of a whole database file. */
import { Encoder } from '../ltx/codec/encoder.ts'
import { openSpillFile } from '../ltx/codec/spill-file.ts'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import { type Header, snapshotHeader } from '../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, lockPgno, type Pgno, type TXID } from '../ltx/format/types.ts'
import type { NewFile } from '../util/new-file.ts'
import { openUnnamed } from '../util/unnamed-file.ts'
import type { Progress } from './ltx-file.ts'
import type { StillDatabase } from './still-database.ts'

export interface ReadOptions {
  readonly signal?: AbortSignal
  readonly progress?: Progress
}

export interface SnapshotOptions extends ReadOptions {
  /** The database's last transaction. */
  readonly txid: TXID
  readonly timestampMs: number
}

export interface SnapshotResult {
  readonly header: Header
  readonly checksum: Checksum
  readonly pages: number
  readonly sizeBytes: number
}

/** The rolling checksum of all pages, as in an LTX file's post-apply checksum. */
export async function checksumDatabase(database: StillDatabase, options: ReadOptions = {}): Promise<Checksum> {
  let checksum = EMPTY_CHECKSUM
  await eachPage(database, options, (pgno, page) => {
    checksum = foldChecksum(checksum, pageChecksum(pgno, page))
  })
  return checksum
}

/**
 * Writes the database as an LTX file that begins with transaction 1. Source: superfly/ltx 0.5.3,
 * cmd/ltx/encode_db.go.
 */
export async function encodeDatabase(
  database: StillDatabase,
  output: NewFile,
  options: SnapshotOptions,
): Promise<SnapshotResult> {
  const { pageSize, sizePages } = database
  const { txid, timestampMs } = options
  const header = snapshotHeader({ pageSize, commit: sizePages, maxTXID: txid, timestampMs })
  const chunks: Uint8Array[] = []
  const spill = () => openSpillFile(openUnnamed(output.directory))
  const encoder = new Encoder(header, (chunk) => chunks.push(chunk.slice()), { spill })
  try {
    let checksum = EMPTY_CHECKSUM
    const encode = (pgno: Pgno, page: Uint8Array) => {
      encoder.writePage(pgno, page)
      checksum = foldChecksum(checksum, encoder.lastPageChecksum())
    }
    const write = async () => {
      for (const chunk of chunks.splice(0)) await output.handle.writeFile(chunk)
    }
    await eachPage(database, options, encode, write)
    const { sizeBytes } = encoder.finish(checksum)
    await write()
    return { header, checksum, pages: encoder.pageCount, sizeBytes }
  } finally {
    encoder.abort()
  }
}

/**
 * Visits all pages except SQLite's lock page, which no LTX file contains. Calls `afterRun` now and then, between pages.
 */
async function eachPage(
  database: StillDatabase,
  { signal, progress }: ReadOptions,
  visit: (pgno: Pgno, page: Uint8Array) => void,
  afterRun?: () => Promise<void>,
): Promise<void> {
  const { pageSize, sizePages } = database
  const lockPage = lockPgno(pageSize)
  for await (const { first, count, bytes } of database.runs(signal)) {
    for (let i = 0; i < count; i++) {
      if (first + i !== lockPage) visit(first + i, bytes.subarray(i * pageSize, (i + 1) * pageSize))
    }
    await afterRun?.()
    progress?.((first + count - 1) * pageSize, sizePages * pageSize)
  }
}
