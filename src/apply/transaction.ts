import fs from 'node:fs'
import { Decoder } from '../ltx/codec/decoder.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { hasChecksums, type Header } from '../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, type Pgno } from '../ltx/format/types.ts'
import { exchange } from '../sqlite/page-table.ts'
import { nodeFiles, readerOf } from '../util/files.ts'
import { PageSums } from './page-sums.ts'
import { finish, STEP_BYTES, type Steps } from './steps.ts'

export interface Page {
  readonly pgno: Pgno
  /** Valid until the next page is read. */
  readonly page: Uint8Array
}

/** The bytes of an LTX file. They can be read more than once. */
export type LtxBytes = () => Iterable<Uint8Array>

/** Pages beyond this total are not cached: they are decoded again when they are written. */
const CACHED_BYTES = 8 << 20
const READ_BYTES = 1 << 20

/** Pages to write, and the database's size after them. */
export interface PageChanges {
  readonly header: Header
  /** Ascending. */
  readonly pgnos: Uint32Array
  /** The checksum of each page, in the order of `pgnos`. */
  readonly checksums: BigUint64Array
  pages(): Iterable<Page>
  /** The content of page 1, if it changes. */
  firstPage(): Uint8Array | undefined
}

/** One verified LTX file: a single transaction, or a compacted range. */
export class Transaction implements PageChanges {
  readonly header: Header
  /** undefined when the file has no checksums. */
  readonly postApplyChecksum: Checksum | undefined
  readonly pgnos: Uint32Array
  readonly checksums: BigUint64Array
  readonly #bytes: LtxBytes
  readonly #cached: readonly Page[] | undefined

  /** Reads and verifies the whole file. Throws LTXError. */
  static of(bytes: LtxBytes): Transaction {
    return finish(Transaction.read(bytes))
  }

  /** The same, with pauses. */
  static *read(bytes: LtxBytes): Steps<Transaction> {
    const decoder = new Decoder()
    const sums = new PageSums()
    let cached: Page[] | undefined = []
    let sizeBytes = 0
    let pausedAt = 0
    for (const { pgno, page } of decodePages(decoder, bytes)) {
      sums.add(pgno, pageChecksum(pgno, page))
      sizeBytes += page.length
      if (sizeBytes > CACHED_BYTES) cached = undefined
      cached?.push({ pgno, page: page.slice() })
      if (sizeBytes - pausedAt < STEP_BYTES) continue
      pausedAt = sizeBytes
      yield
    }
    const trailer = decoder.end()
    const { header } = decoder
    if (header === undefined) throw new Error('a decoder that has ended knows its header')
    const postApplyChecksum = hasChecksums(header) ? (trailer.postApplyChecksum as Checksum) : undefined
    return new Transaction({ header, postApplyChecksum, pgnos: sums.pgnos, checksums: sums.checksums }, bytes, cached)
  }

  private constructor(
    verified: Pick<Transaction, 'header' | 'postApplyChecksum' | 'pgnos' | 'checksums'>,
    bytes: LtxBytes,
    cached: readonly Page[] | undefined,
  ) {
    this.header = verified.header
    this.postApplyChecksum = verified.postApplyChecksum
    this.pgnos = verified.pgnos
    this.checksums = verified.checksums
    this.#bytes = bytes
    this.#cached = cached
  }

  pages(): Iterable<Page> {
    return this.#cached ?? decodePages(new Decoder(), this.#bytes)
  }

  /** The checksum of a database of these pages alone. */
  pagesChecksum(): Checksum {
    let checksum = EMPTY_CHECKSUM
    for (const sum of this.checksums) checksum = exchange(checksum, 0n, sum as Checksum)
    return checksum
  }

  /** The pages for which `isWanted` is true. */
  filter(isWanted: (pgno: Pgno, checksum: Checksum) => boolean): PageChanges {
    const wanted = new PageSums()
    this.pgnos.forEach((pgno, i) => {
      const checksum = this.checksums[i] as Checksum
      if (isWanted(pgno, checksum)) wanted.add(pgno, checksum)
    })
    const { pgnos, checksums } = wanted
    return {
      header: this.header,
      pgnos,
      checksums,
      pages: () => filterPages(this.pages(), pgnos),
      firstPage: () => (pgnos[0] === 1 ? this.firstPage() : undefined),
    }
  }

  firstPage(): Uint8Array | undefined {
    if (this.pgnos[0] !== 1) return undefined
    for (const { page } of this.pages()) return page.slice()
    return undefined
  }
}

export function bytesInMemory(bytes: Uint8Array): LtxBytes {
  return () => [bytes]
}

export function bytesOfFile(path: string): LtxBytes {
  return function* () {
    const fd = nodeFiles.open(path, fs.constants.O_RDONLY)
    try {
      const read = readerOf(nodeFiles, fd)
      for (let at = 0; ; at += READ_BYTES) {
        const chunk = read(at, READ_BYTES)
        if (chunk.length > 0) yield chunk
        if (chunk.length < READ_BYTES) return
      }
    } finally {
      nodeFiles.close(fd)
    }
  }
}

/** Those of `pages` that are in `pgnos`; both ascend. */
function* filterPages(pages: Iterable<Page>, pgnos: Uint32Array): Generator<Page> {
  let next = 0
  for (const page of pages) {
    if (page.pgno !== pgnos[next]) continue
    next++
    yield page
  }
}

function* decodePages(decoder: Decoder, bytes: LtxBytes): Generator<Page> {
  for (const chunk of bytes()) {
    decoder.push(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      yield { pgno: frame.pgno, page: frame.page() }
    }
  }
}
