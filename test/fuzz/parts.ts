/** An LTX file in parts, so that a mutation can damage one while the rest and its checksums stay correct. */
import { foldChecksum, pageChecksum } from '../../src/ltx/format/checksum.ts'
import { EMPTY_CHECKSUM, isPageSize } from '../../src/ltx/format/types.ts'
import { CRCRegister } from '../../src/ltx/kernels/crc.ts'
import { LenientFrames, readBlock } from './lenient-lz4.ts'

export interface PagePart {
  pgno: number
  /** 1: a size field follows, and a block. 0: an LZ4 frame. */
  flags: number
  /** The size field, which is written only if flag 1 is set. */
  size: number
  data: Uint8Array
}

export interface IndexEntry {
  pgno: bigint
  offset: bigint
  size: bigint
}

export interface FileParts {
  /** 100 bytes. */
  header: Uint8Array
  pages: PagePart[]
  /** Six zeroes. */
  end: Uint8Array
  index: Uint8Array
  indexSize: bigint
  postApply: bigint
  /** XORed into the correct file checksum; 0 leaves it correct. */
  fileChecksumDamage: bigint
  /** Bytes after the trailer. */
  tail: Uint8Array
}

export const HEADER_AT = { flags: 4, pageSize: 8, commit: 12, minTXID: 16, maxTXID: 24 } as const

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** The page size of the header, if it is a valid one. */
export function pageSizeOf({ header }: FileParts): number {
  const size = viewOf(header).getUint32(HEADER_AT.pageSize)
  return isPageSize(size) ? size : 512
}

/** The pages as read one after another into the same buffer: after a short page, the rest of the buffer stays. */
function* contents(parts: FileParts): Generator<[PagePart, Uint8Array]> {
  const buffer = new Uint8Array(pageSizeOf(parts))
  const frames = new LenientFrames()
  for (const page of parts.pages) {
    if ((page.flags & 1) !== 0) readBlock(page.data, buffer, 0, NOTHING)
    else frames.read(page.data, buffer)
    yield [page, buffer]
  }
}

/** The post-apply checksum of a snapshot of these pages. */
export function checksumOfPages(parts: FileParts): bigint {
  const lock = 0x40000000 / pageSizeOf(parts) + 1
  let rolling = EMPTY_CHECKSUM
  for (const [{ pgno }, content] of contents(parts)) {
    if (pgno !== lock) rolling = foldChecksum(rolling, pageChecksum(pgno, content))
  }
  return rolling
}

/** The correct index: an entry for each page. */
export function rightIndex({ header, pages }: FileParts): IndexEntry[] {
  let offset = header.length
  return pages.map((page) => {
    const size = frameSize(page)
    const entry = { pgno: BigInt(page.pgno), offset: BigInt(offset), size: BigInt(size) }
    offset += size
    return entry
  })
}

function marshalIndex(entries: readonly IndexEntry[]): Uint8Array {
  const bytes: number[] = []
  for (const { pgno, offset, size } of entries) for (const value of [pgno, offset, size]) putVarint(bytes, value)
  bytes.push(0)
  return Uint8Array.from(bytes)
}

/** Encodes a varint in `padding` more bytes than necessary. */
export function putVarint(into: number[], value: bigint, padding = 0): void {
  for (; value >= 0x80n; value >>= 7n) into.push(Number(value & 0x7fn) | 0x80)
  for (let extra = 0; extra < padding; extra++) {
    into.push(Number(value) | 0x80)
    value = 0n
  }
  into.push(Number(value))
}

export function setIndex(parts: FileParts, entries: readonly IndexEntry[]): void {
  parts.index = marshalIndex(entries)
  parts.indexSize = BigInt(parts.index.length)
}

/** Assembles the file, with the checksum of its parts. */
export function assemble(parts: FileParts): Uint8Array {
  const { header, pages, end, index, tail } = parts
  const crc = new CRCRegister()
  crc.update(header)
  const sizes = pages.reduce((sum, page) => sum + frameSize(page), 0)
  const file = new Uint8Array(header.length + sizes + end.length + index.length + 24 + tail.length)
  const view = viewOf(file)
  file.set(header)
  let at = header.length
  for (const [page, content] of contents(parts)) {
    const prefix = (page.flags & 1) === 0 ? 6 : 10
    view.setUint32(at, page.pgno)
    view.setUint16(at + 4, page.flags)
    if (prefix === 10) view.setUint32(at + 6, page.size)
    crc.update(file.subarray(at, at + prefix))
    crc.update(content)
    file.set(page.data, at + prefix)
    at += prefix + page.data.length
  }
  const rest = at
  file.set(end, at)
  at += end.length
  file.set(index, at)
  at += index.length
  view.setBigUint64(at, BigInt.asUintN(64, parts.indexSize))
  view.setBigUint64(at + 8, BigInt.asUintN(64, parts.postApply))
  at += 16
  crc.update(file.subarray(rest, at))
  view.setBigUint64(at, crc.checksum() ^ parts.fileChecksumDamage)
  file.set(tail, at + 8)
  return file
}

function frameSize({ flags, data }: PagePart): number {
  return ((flags & 1) === 0 ? 6 : 10) + data.length
}

const NOTHING = new Uint8Array(0)
