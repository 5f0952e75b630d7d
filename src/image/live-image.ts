/**
 * The image of a database that is being written to, as one LTX file: a fuzzy copy of the database file, in which every
 * page that the log holds, up to a position after the copy, replaces the copy's page. If the copy caught half of a
 * commit or of a checkpoint, the log has those pages, because it retains them until the file is known to hold them. A
 * page of a transaction that was rolled back is in no log: the checksum reveals it, and the caller takes a new image.
 */

import { join } from 'node:path'
import type { LogView } from '../log/view.ts'
import { Encoder } from '../ltx/codec/encoder.ts'
import { foldChecksum } from '../ltx/format/checksum.ts'
import { type Header, NO_CHECKSUM, snapshotHeader } from '../ltx/format/header.ts'
import {
  type Checksum,
  EMPTY_CHECKSUM,
  formatChecksum,
  formatPosition,
  formatTXID,
  lockPgno,
  type Position,
} from '../ltx/format/types.ts'
import { mergePages, type PageMerge } from '../ltx/merge/merge.ts'
import { type Files, nodeFiles } from '../util/files.ts'
import { SnapshotError } from './errors.ts'
import { LiveBase } from './live-base.ts'
import { InputFold, makeTemporaryDirectory } from './spill.ts'

/** A database on this node. */
export interface LiveDatabase {
  readonly name: string
  readonly log: LogView
  /** The database file itself, not through the mount. */
  readonly filePath: string
  /** Page size and size in pages at its position, which the file of an encrypted database does not tell. */
  readonly shape?: () => { readonly pageSize: number; readonly commit: number }
  /** Opens it: as a name that applications can replace by a link. Default: any path. */
  readonly files?: Files
}

export interface LiveImageOptions {
  /** The directory for a copy of the database file. On the same file system, the copy may share blocks. */
  readonly temporaryParent: string
  /** The image's time when the log no longer holds the last transaction. */
  readonly nowMs: number
  readonly minTimestampMs?: number
  /** Objects of a backup have none, because Litestream rejects them. */
  readonly checksums: boolean
  readonly signal?: AbortSignal
}

export interface LiveImage {
  readonly position: Position
  readonly pageSize: number
  readonly commit: number
  readonly timestampMs: number
  /** Checksum before the transaction at `position`; undefined when the log no longer holds it. */
  readonly preApplyChecksum: Checksum | 0n | undefined
  /** The LTX file. Throws SnapshotError at its end when the pages do not have the position's checksum. */
  bytes(): AsyncIterable<Uint8Array>
}

/**
 * Takes an image of the newest durable state, and removes it after `use`. Returns undefined when there is no database:
 * it has no transaction yet, or was dropped. Throws SnapshotError.
 */
export async function withLiveImage<T>(
  database: LiveDatabase,
  options: LiveImageOptions,
  use: (image: LiveImage) => Promise<T>,
): Promise<T | undefined> {
  const { signal } = options
  if (!(await exists(database.log))) return undefined
  const directory = await makeTemporaryDirectory(options.temporaryParent)
  try {
    const base = await LiveBase.copy(
      database.files ?? nodeFiles,
      database.filePath,
      join(directory.path, 'base'),
    ).catch((error: unknown) => {
      throw new SnapshotError(database.name, 'its file cannot be copied', { cause: error })
    })
    try {
      // After the copy, so that no page in the copy is newer than the position.
      const position = await database.log.sync()
      const overlay = await collectOverlay(database.log, position, directory.path, signal)
      if (overlay.dropped) return undefined
      const { last } = overlay
      const described = last ?? (await base.describe()) ?? database.shape?.()
      if (described === undefined || described.commit === 0)
        throw new SnapshotError(database.name, 'its file has no valid header')
      const { pageSize, commit } = described
      const timestampMs = Math.max(last?.timestampMs ?? options.nowMs, options.minTimestampMs ?? 0)
      const preApplyChecksum = last?.preApplyChecksum
      const shape = { position, pageSize, commit, timestampMs, preApplyChecksum }
      const { checksums } = options
      return await use({ ...shape, bytes: () => encode(database.name, shape, checksums, base, overlay.fold, signal) })
    } finally {
      await base.close()
    }
  } finally {
    await directory.remove()
  }
}

async function exists(log: LogView): Promise<boolean> {
  const { txid } = log.position()
  const first = await log.first()
  if (txid === 0n || first === undefined || first > txid) return txid !== 0n
  for await (const { header } of log.records(txid, txid)) return header.commit > 0
  return true
}

interface Overlay {
  readonly fold: InputFold
  readonly last: Header | undefined
  readonly dropped: boolean
}

/** The transactions in the log up to a position, since the database was last created. */
async function collectOverlay(
  log: LogView,
  position: Position,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<Overlay> {
  const fold = new InputFold(directory)
  const first = await log.first()
  let last: Header | undefined
  if (first !== undefined && first <= position.txid) {
    for await (const record of log.records(first, position.txid)) {
      const { header } = record
      if (header.commit === 0 || (last !== undefined && last.pageSize !== header.pageSize)) fold.clear()
      if (header.commit > 0) {
        await fold.add({ name: `transaction ${formatTXID(header.maxTXID)}`, open: () => record.bytes() }, signal)
      }
      last = header
    }
  }
  return { fold, last, dropped: last?.commit === 0 }
}

async function* encode(
  name: string,
  { position, pageSize, commit, timestampMs }: Omit<LiveImage, 'bytes'>,
  checksums: boolean,
  base: LiveBase,
  fold: InputFold,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const chunks: Uint8Array[] = []
  const flags = checksums ? 0 : NO_CHECKSUM
  const header = snapshotHeader({ flags, pageSize, commit, maxTXID: position.txid, timestampMs })
  const encoder = new Encoder(header, (chunk) => chunks.push(chunk.slice()), { spill: fold.spill })
  const overlay = fold.inputs.length === 0 ? undefined : mergePages(fold.inputs, signal === undefined ? {} : { signal })
  let checksum: Checksum = EMPTY_CHECKSUM
  try {
    const pages = new OverlayCursor(overlay)
    await pages.open()
    for (let pgno = 1; pgno <= commit; pgno++) {
      if (pgno === lockPgno(pageSize)) continue
      if (pages.pgno === pgno) {
        encoder.writePage(pgno, pages.page())
        if (!pages.advance()) await pages.fill()
      } else {
        const page = await base.page(pgno, pageSize)
        if (page === undefined)
          throw new SnapshotError(name, `page ${pgno} of ${commit} is neither in its file nor in its log`)
        encoder.writePage(pgno, page)
      }
      checksum = foldChecksum(checksum, encoder.lastPageChecksum())
      for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
        signal?.throwIfAborted()
        yield chunk
      }
    }
    if (checksum !== position.checksum) {
      const expected = `expected ${formatPosition(position)} from the log`
      const problem = `its copy has checksum ${formatChecksum(checksum)}, ${expected}: it is being written to`
      throw new SnapshotError(name, problem)
    }
    encoder.finish(checksums ? checksum : 0n)
    yield* chunks
  } finally {
    encoder.abort()
    await overlay?.close()
  }
}

/** A merge, one page at a time; `pgno` is 0 after its last one. */
class OverlayCursor {
  readonly #merge: PageMerge | undefined
  #page: (() => Uint8Array) | undefined
  pgno = 0

  constructor(merge: PageMerge | undefined) {
    this.#merge = merge
  }

  async open(): Promise<void> {
    await this.#merge?.open()
    if (!this.advance()) await this.fill()
  }

  page(): Uint8Array {
    return this.#page?.() ?? new Uint8Array()
  }

  /** Returns false when the merge needs a `fill` first. */
  advance(): boolean {
    const frame = this.#merge?.next()
    this.pgno = frame?.pgno ?? 0
    this.#page = frame === undefined ? undefined : () => frame.page()
    return frame !== undefined || this.#merge === undefined || this.#merge.ended
  }

  async fill(): Promise<void> {
    do {
      await this.#merge?.fill()
    } while (!this.advance())
  }
}
