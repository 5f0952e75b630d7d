import fs from 'node:fs'
import { Decoder } from '../ltx/codec/decoder.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { hasChecksums, type Header } from '../ltx/format/header.ts'
import type { Checksum, Pgno } from '../ltx/format/types.ts'
import { nodeFiles, readerOf } from '../util/files.ts'

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
  readonly pgnos: readonly Pgno[]
  /** The checksum of each page, in the order of `pgnos`. */
  readonly checksums: readonly Checksum[]
  pages(): Iterable<Page>
  /** The content of page 1, if it changes. */
  firstPage(): Uint8Array | undefined
}

/** One verified LTX file: a single transaction, or a compacted range. */
export class Transaction implements PageChanges {
  readonly header: Header
  /** undefined when the file has no checksums. */
  readonly postApplyChecksum: Checksum | undefined
  readonly pgnos: readonly Pgno[]
  readonly checksums: readonly Checksum[]
  readonly #bytes: LtxBytes
  readonly #cached: readonly Page[] | undefined

  /** Reads and verifies the whole file. Throws LTXError. */
  constructor(bytes: LtxBytes) {
    const decoder = new Decoder()
    const pgnos: Pgno[] = []
    const checksums: Checksum[] = []
    let cached: Page[] | undefined = []
    let sizeBytes = 0
    for (const { pgno, page } of decodePages(decoder, bytes)) {
      pgnos.push(pgno)
      checksums.push(pageChecksum(pgno, page))
      sizeBytes += page.length
      if (sizeBytes > CACHED_BYTES) cached = undefined
      cached?.push({ pgno, page: page.slice() })
    }
    const trailer = decoder.end()
    if (decoder.header === undefined) throw new Error('a decoder that has ended knows its header')
    this.header = decoder.header
    this.postApplyChecksum = hasChecksums(this.header) ? (trailer.postApplyChecksum as Checksum) : undefined
    this.pgnos = pgnos
    this.checksums = checksums
    this.#bytes = bytes
    this.#cached = cached
  }

  pages(): Iterable<Page> {
    return this.#cached ?? decodePages(new Decoder(), this.#bytes)
  }

  /** The pages for which `isWanted` is true. */
  filter(isWanted: (pgno: Pgno, checksum: Checksum) => boolean): PageChanges {
    const wanted = this.pgnos.map((pgno, i) => isWanted(pgno, this.checksums[i] as Checksum))
    const pgnos = this.pgnos.filter((_, i) => wanted[i])
    return {
      header: this.header,
      pgnos,
      checksums: this.checksums.filter((_, i) => wanted[i]),
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
function* filterPages(pages: Iterable<Page>, pgnos: readonly Pgno[]): Generator<Page> {
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
