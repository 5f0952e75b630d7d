import fs from 'node:fs'
import { Decoder } from '../ltx/codec/decoder.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { hasChecksums, type Header } from '../ltx/format/header.ts'
import type { Checksum, Pgno } from '../ltx/format/types.ts'
import { nodeFiles, readerOf } from '../util/files.ts'

export interface Page {
  readonly pgno: Pgno
  /** Valid until the next one is asked for. */
  readonly page: Uint8Array
}

/** The bytes of an LTX file, which can be read more than once. */
export type LtxBytes = () => Iterable<Uint8Array>

/** Pages of a larger file are not kept but decoded again when they are written. */
const KEPT_BYTES = 8 << 20
const READ_BYTES = 1 << 20

/** What is to be written. */
export interface PageChanges {
  readonly header: Header
  /** Ascending. */
  readonly pgnos: readonly Pgno[]
  /** Of each page, in the same order. */
  readonly checksums: readonly Checksum[]
  pages(): Iterable<Page>
  /** The content of page 1, if it is part of this. */
  firstPage(): Uint8Array | undefined
}

/** One LTX file, verified: a single transaction, or a range that has been compacted. */
export class Transaction implements PageChanges {
  readonly header: Header
  /** As the file says; undefined where it holds no checksums. */
  readonly postApplyChecksum: Checksum | undefined
  readonly pgnos: readonly Pgno[]
  readonly checksums: readonly Checksum[]
  readonly #bytes: LtxBytes
  readonly #kept: readonly Page[] | undefined

  /** Reads and verifies all of it. Throws LTXError. */
  constructor(bytes: LtxBytes) {
    const decoder = new Decoder()
    const pgnos: Pgno[] = []
    const checksums: Checksum[] = []
    let kept: Page[] | undefined = []
    let keptBytes = 0
    for (const { pgno, page } of decodePages(decoder, bytes)) {
      pgnos.push(pgno)
      checksums.push(pageChecksum(pgno, page))
      keptBytes += page.length
      if (keptBytes > KEPT_BYTES) kept = undefined
      kept?.push({ pgno, page: page.slice() })
    }
    const trailer = decoder.end()
    if (decoder.header === undefined) throw new Error('a decoder that has ended knows its header')
    this.header = decoder.header
    this.postApplyChecksum = hasChecksums(this.header) ? (trailer.postApplyChecksum as Checksum) : undefined
    this.pgnos = pgnos
    this.checksums = checksums
    this.#bytes = bytes
    this.#kept = kept
  }

  pages(): Iterable<Page> {
    return this.#kept ?? decodePages(new Decoder(), this.#bytes)
  }

  /** Those of its pages that `keep` names. */
  only(keep: (pgno: Pgno, checksum: Checksum) => boolean): PageChanges {
    const kept = this.pgnos.map((pgno, i) => keep(pgno, this.checksums[i] as Checksum))
    const isKept = new Set(this.pgnos.filter((_, i) => kept[i]))
    return {
      header: this.header,
      pgnos: [...isKept],
      checksums: this.checksums.filter((_, i) => kept[i]),
      pages: () => filterPages(this.pages(), isKept),
      firstPage: () => (isKept.has(1) ? this.firstPage() : undefined),
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

function* filterPages(pages: Iterable<Page>, kept: ReadonlySet<Pgno>): Generator<Page> {
  for (const page of pages) if (kept.has(page.pgno)) yield page
}

function* decodePages(decoder: Decoder, bytes: LtxBytes): Generator<Page> {
  for (const chunk of bytes()) {
    decoder.push(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      yield { pgno: frame.pgno, page: frame.page() }
    }
  }
}
