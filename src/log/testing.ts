/** What the tests of this room share: a log of small made-up transactions. */

import fs from 'node:fs'
import type { Encoder } from '../ltx/codec/encoder.ts'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import type { Header } from '../ltx/format/header.ts'
import type { Checksum, Position } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, nextTXID, toTXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { nodeFiles } from '../util/files.ts'
import { openLog } from './open.ts'
import type { SyncStarter } from './pending-sync.ts'
import type { LogWriter } from './writer.ts'

export const PAGE_SIZE = 512

function page(fill: number): Uint8Array {
  const bytes = new Uint8Array(PAGE_SIZE)
  for (let i = 0; i < PAGE_SIZE; i++) bytes[i] = (fill * 31 + i * (fill % 7)) & 0xff
  return bytes
}

/** A database of one page, which each transaction replaces. */
export class TestLog {
  readonly dir: string
  readonly files: Files
  readonly segmentSizeBytes: number
  readonly syncs: SyncStarter | undefined
  writer: LogWriter
  #fill = 0
  readonly #nowMs: () => number

  constructor(
    dir: string,
    options: { files?: Files; segmentSizeBytes?: number; syncs?: SyncStarter; nowMs?: () => number } = {},
  ) {
    this.dir = dir
    this.files = options.files ?? nodeFiles
    this.segmentSizeBytes = options.segmentSizeBytes ?? 1 << 30
    this.syncs = options.syncs
    this.#nowMs = options.nowMs ?? (() => Infinity)
    this.writer = this.#openWriter()
  }

  get position(): Position {
    return this.writer.position
  }

  get segments(): string[] {
    return fs.readdirSync(this.dir).filter((name) => name.endsWith('.ltxlog'))
  }

  append(count = 1, pages = 1): Position {
    for (let i = 0; i < count; i++) this.appendOne({}, pages)
    return this.position
  }

  appendOne(
    fields: Partial<Header> = {},
    pages = 1,
    confirm = () => {},
  ): { position: Position; finishedBytes: number } {
    const { txid, checksum } = this.position
    const next = nextTXID(txid)
    const header: Header = {
      flags: 0,
      pageSize: PAGE_SIZE,
      commit: pages,
      minTXID: next,
      maxTXID: next,
      timestampMs: 1_700_000_000_000 + Number(next),
      preApplyChecksum: txid === 0n ? 0n : checksum,
      walOffset: 0,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 7n,
      ...fields,
    }
    this.#fill++
    const encode = (encoder: Encoder) => {
      let sum: Checksum = EMPTY_CHECKSUM
      for (let pgno = 1; pgno <= pages; pgno++) {
        const content = page(this.#fill + pgno)
        sum = foldChecksum(sum, pageChecksum(pgno, content))
        encoder.writePage(pgno, content)
      }
      return sum
    }
    return this.writer.append(header, encode, confirm)
  }

  reopen(): void {
    this.writer.close()
    this.writer = this.#openWriter()
  }

  #openWriter(): LogWriter {
    const { segmentSizeBytes, syncs } = this
    return openLog(this.files, this.dir, { segmentSizeBytes, monotonicMs: this.#nowMs, ...(syncs && { syncs }) })
  }
}

export const txid = toTXID
