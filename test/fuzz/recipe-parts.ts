/** Valid files with one part replaced, for recipes. */
import { marshalHeader } from '../../src/ltx/format/header.ts'
import { EMPTY_CHECKSUM } from '../../src/ltx/format/types.ts'
import { compressBlock } from '../../src/ltx/kernels/lz4-block.ts'
import { header, pageOf } from '../../src/ltx/testing.ts'
import { LenientFrames } from './lenient-lz4.ts'
import { literals } from './lz4-blocks.ts'
import { blockOf, FLAG, frameBytes, type FrameSpec, matchFirst, plainFrame } from './lz4-frames.ts'
import { assemble, type FileParts, type PagePart, putVarint, rightIndex, setIndex, viewOf } from './parts.ts'

export const PAGE = 512
export const page = pageOf(PAGE, 7)

/** A valid file with the pages 1 and 3 of 4. */
export function right(): FileParts {
  const parts: FileParts = {
    header: marshalHeader(header({ commit: 4 })),
    pages: [1, 3].map((pgno) => blockPage(pgno, compressBlock(pageOf(PAGE, pgno)))),
    end: new Uint8Array(6),
    index: new Uint8Array(0),
    indexSize: 0n,
    postApply: EMPTY_CHECKSUM,
    fileChecksumDamage: 0n,
    tail: new Uint8Array(0),
  }
  setIndex(parts, rightIndex(parts))
  return parts
}

export function blockPage(pgno: number, data: Uint8Array): PagePart {
  return { pgno, flags: 1, size: data.length, data }
}

export function framePage(pgno: number, data: Uint8Array): PagePart {
  return { pgno, flags: 0, size: 0, data }
}

/** Assembles the file after a change. Only the index is corrected. */
export function withHeader(change: (view: DataView, parts: FileParts) => void) {
  return () => {
    const parts = right()
    change(viewOf(parts.header), parts)
    setIndex(parts, rightIndex(parts))
    return assemble(parts)
  }
}

/** Page 1 is this block. */
export function withBlock(data: Uint8Array) {
  return withHeader((_, parts) => (parts.pages[0] = blockPage(1, data)))
}

/** Page 1 is an LZ4 frame, changed. */
export function withFrame(change: (spec: FrameSpec) => void) {
  return withHeader((_, parts) => {
    const spec = plainFrame([blockOf(compressBlock(page))])
    change(spec)
    parts.pages[0] = framePage(1, frameBytes(spec, PAGE))
  })
}

/** A valid file with this index, to which the final zero is added. */
export function withIndex(change: (bytes: number[], parts: FileParts) => void) {
  return () => {
    const parts = right()
    const bytes: number[] = []
    change(bytes, parts)
    putVarint(bytes, 0n)
    parts.index = Uint8Array.from(bytes)
    parts.indexSize = BigInt(bytes.length)
    return assemble(parts)
  }
}

/** The correct entries, with a change of the last one, and each number in more bytes than necessary. */
export function putEntries(
  bytes: number[],
  parts: FileParts,
  add: { pgno?: bigint; offset?: bigint; size?: bigint },
  padding = 0,
) {
  const [first, last] = rightIndex(parts)
  const { pgno = 0n, offset = 0n, size = 0n } = add
  for (const value of [first!.pgno, first!.offset, first!.size]) putVarint(bytes, value, padding)
  for (const value of [last!.pgno + pgno, last!.offset + offset, last!.size + size]) putVarint(bytes, value, padding)
}

/** Twenty literals, then matches of them, with nothing after the last. */
export const endsWithMatch = Uint8Array.from([
  0xff,
  5,
  ...page.subarray(0, 20),
  20,
  0,
  255,
  (PAGE - 20 - 19 - 255) % 256,
])
export const emptyRaw = { data: new Uint8Array(0), raw: true, checksumDamage: 0 }
const halves = [page.subarray(0, 256), page.subarray(256)]

/** Two frames of half a page each. */
export function halfFrames(): Uint8Array {
  const frames = halves.map((half) => frameBytes(plainFrame([blockOf(literals(half))]), half.length))
  return new Uint8Array(Buffer.concat(frames))
}

/** Linked frames of two pages; the second begins with a match of what is in the first. */
export function linkedFrames(): PagePart[] {
  const frames = new LenientFrames()
  return [literals(page), matchFirst(100, page.subarray(5))].map((data, n) => {
    const spec = plainFrame([blockOf(data)])
    spec.flags &= ~FLAG.independent
    return framePage(n + 1, frameBytes(spec, PAGE, frames))
  })
}
