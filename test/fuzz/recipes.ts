/**
 * Files that the fuzzer found, each as the shortest way to make one: on some the two decoders disagreed until ltxd was
 * mended, on the others they still do, for the reason that differences.ts gives.
 */
import { NO_CHECKSUM } from '../../src/ltx/header.ts'
import { marshalHeader } from '../../src/ltx/header.ts'
import { header, pageOf } from '../../src/ltx/testing.ts'
import { EMPTY_CHECKSUM } from '../../src/ltx/types.ts'
import { compressBlock } from '../../src/ltx/kernels/kernels.ts'
import { LenientFrames } from './lenient-lz4.ts'
import { literals } from './lz4-blocks.ts'
import { blockOf, FLAG, frameBytes, matchFirst, type FrameSpec } from './lz4-frames.ts'
import { assemble, checksumOfPages, putVarint, rightIndex, setIndex, viewOf, type FileParts } from './parts.ts'

export interface Recipe {
  readonly name: string
  readonly reference: 'accepts' | 'refuses'
  /** If the reference accepts: what ltxd does, or the name of the difference. */
  readonly ltxd: 'accepts' | 'refuses' | { readonly refuses: string }
  readonly file: () => Uint8Array
}

const PAGE = 512
const page = pageOf(PAGE, 7)

/** A right file of pages 1 and 3 of 4. */
function right(pageSize = PAGE): FileParts {
  const parts: FileParts = {
    header: marshalHeader(header({ pageSize, commit: 4 })),
    pages: [1, 3].map((pgno) => blockPage(pgno, compressBlock(pageOf(pageSize, pgno)))),
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

function blockPage(pgno: number, data: Uint8Array) {
  return { pgno, flags: 1, size: data.length, data }
}

function withHeader(change: (view: DataView, parts: FileParts) => void) {
  return () => {
    const parts = right()
    change(viewOf(parts.header), parts)
    setIndex(parts, rightIndex(parts))
    return assemble(parts)
  }
}

/** Page 1 is this block. */
function withBlock(data: Uint8Array) {
  return withHeader((_, parts) => (parts.pages[0] = blockPage(1, data)))
}

/** Page 1 is this LZ4 frame, as it stands or after a change. */
function withFrame(change: (spec: FrameSpec) => void, patch = (bytes: Uint8Array) => bytes) {
  return withHeader((_, parts) => {
    const spec: FrameSpec = {
      before: new Uint8Array(0),
      magic: 0x184d2204,
      flags: 0x40 | FLAG.independent | FLAG.contentChecksum,
      blockSizes: 0x40,
      contentSize: BigInt(PAGE),
      headerDamage: 0,
      blocks: [blockOf(compressBlock(page))],
      endMark: 0,
      checksumDamage: 0,
      after: new Uint8Array(0),
    }
    change(spec)
    parts.pages[0] = { pgno: 1, flags: 0, size: 0, data: patch(frameBytes(spec, PAGE)) }
  })
}

function withIndex(change: (bytes: number[], parts: FileParts) => void) {
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

function putEntries(
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

/** Twenty literals, then matches of them; nothing behind the last. */
const endsWithMatch = Uint8Array.from([0xff, 5, ...page.subarray(0, 20), 20, 0, 255, (PAGE - 20 - 19 - 255) % 256])
const emptyRaw = { data: new Uint8Array(0), raw: true, checksumDamage: 0 }
const halves = [page.subarray(0, 256), page.subarray(256)]

/** Two frames of half a page each. */
function halfFrames(): Uint8Array {
  const frames = halves.map((half) => {
    const spec = { blocks: [blockOf(literals(half))], flags: 0x64, blockSizes: 0x40, magic: 0x184d2204 }
    const rest = { before: new Uint8Array(0), contentSize: 0n, headerDamage: 0, endMark: 0, checksumDamage: 0 }
    return frameBytes({ ...spec, ...rest, after: new Uint8Array(0) }, 256)
  })
  return new Uint8Array(Buffer.concat(frames))
}

export const RECIPES: readonly Recipe[] = [
  { name: 'nothing wrong', reference: 'accepts', ltxd: 'accepts', file: () => assemble(right()) },

  // Blocks.
  {
    name: 'a block that ends with a match',
    reference: 'accepts',
    ltxd: 'accepts',
    file: withBlock(endsWithMatch),
  },
  {
    name: 'a block whose last token announces a match',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withBlock(literals(page).map((byte, at) => (at === 0 ? byte | 3 : byte))),
  },
  {
    name: 'a block of a part of the page',
    reference: 'accepts',
    ltxd: { refuses: 'a block that is too short' },
    file: withBlock(literals(page.subarray(0, 300))),
  },
  {
    name: 'a block of no bytes',
    reference: 'accepts',
    ltxd: { refuses: 'a block that is too short' },
    file: withBlock(new Uint8Array(0)),
  },

  // Frames.
  { name: 'a frame', reference: 'accepts', ltxd: 'accepts', file: withFrame(() => {}) },
  {
    name: 'a frame with a wrong content size',
    reference: 'accepts',
    ltxd: 'accepts',
    file: withFrame((spec) => {
      spec.flags |= FLAG.contentSize
      spec.contentSize = 511n
    }),
  },
  {
    name: 'a frame without a content checksum',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withFrame((spec) => (spec.flags &= ~FLAG.contentChecksum)),
  },
  {
    name: 'a frame without one, before what looks like another',
    reference: 'accepts',
    ltxd: { refuses: 'a frame without a content checksum, before bytes that look like a frame' },
    file: withFrame((spec) => {
      spec.flags &= ~FLAG.contentChecksum
      spec.after = Uint8Array.of(0x04, 0x22, 0x4d, 0x18)
    }),
  },
  {
    name: 'a frame of a block size class that is none',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withFrame((spec) => (spec.blockSizes = 0x30)),
  },
  {
    name: 'a frame that begins with one to skip',
    reference: 'accepts',
    ltxd: { refuses: 'a frame that begins with another magic' },
    file: withFrame((spec) => (spec.before = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9))),
  },
  {
    name: 'a frame of version 3',
    reference: 'accepts',
    ltxd: { refuses: 'a frame of an unknown version, or with a dictionary' },
    file: withFrame((spec) => (spec.flags |= 0x80)),
  },
  {
    name: 'a page in two frames',
    reference: 'accepts',
    ltxd: { refuses: 'a page in several frames' },
    file: withHeader((_, parts) => (parts.pages[0] = { pgno: 1, flags: 0, size: 0, data: halfFrames() })),
  },
  {
    name: 'a frame that begins with an empty block',
    reference: 'accepts',
    ltxd: { refuses: 'a frame with an empty block, with very many, or very long' },
    file: withFrame(({ blocks }) => blocks.unshift(emptyRaw)),
  },
  {
    name: 'a frame that begins with an empty compressed block',
    reference: 'accepts',
    ltxd: { refuses: 'a frame with an empty block, with very many, or very long' },
    file: withFrame(({ blocks }) => blocks.unshift(blockOf(Uint8Array.of(0)))),
  },
  {
    name: 'a frame with an empty compressed block behind the page',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withFrame(({ blocks }) => blocks.push(blockOf(Uint8Array.of(0)))),
  },
  {
    name: 'a frame of 65 blocks',
    reference: 'accepts',
    ltxd: { refuses: 'a frame with an empty block, with very many, or very long' },
    file: withFrame((spec) => {
      spec.blocks = Array.from({ length: 65 }, (_, n) =>
        blockOf(literals(page.subarray(n * 7, n === 64 ? PAGE : n * 7 + 7))),
      )
    }),
  },
  {
    name: 'a frame that goes on where it should end',
    reference: 'accepts',
    ltxd: { refuses: 'a frame that does not end where its page does' },
    file: withFrame((spec) => {
      spec.flags |= FLAG.blockChecksums
      spec.endMark = 4
    }),
  },
  {
    name: 'a frame whose first match is in the page before',
    reference: 'accepts',
    ltxd: { refuses: 'a block that refers to the page before' },
    file: withHeader((_, parts) => {
      const frames = new LenientFrames()
      const spec = {
        ...{ before: new Uint8Array(0), magic: 0x184d2204, blockSizes: 0x40, contentSize: 0n, headerDamage: 0 },
        ...{ endMark: 0, checksumDamage: 0, after: new Uint8Array(0), flags: 0x40 | FLAG.contentChecksum },
      }
      const datas = [literals(page), matchFirst(100, page.subarray(5))].map((data) =>
        frameBytes({ ...spec, blocks: [blockOf(data)] }, PAGE, frames),
      )
      parts.pages = datas.map((data, n) => ({ pgno: n + 1, flags: 0, size: 0, data }))
    }),
  },

  // The index.
  {
    name: 'an index in more bytes than it takes',
    reference: 'accepts',
    ltxd: 'accepts',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, {}, 3)),
  },
  {
    name: 'an index in varints of eleven bytes',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, {}, 10)),
  },
  {
    name: 'a page number that is right but for 2^32',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { pgno: 1n << 32n })),
  },
  {
    name: 'a size that is right but for 2^32',
    reference: 'accepts',
    ltxd: { refuses: 'an index that does not say where pages are' },
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { size: 1n << 32n })),
  },
  {
    name: 'an offset into the page before its own',
    reference: 'refuses',
    ltxd: 'refuses',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { offset: -1n })),
  },
  {
    name: 'an offset behind the page’s start',
    reference: 'accepts',
    ltxd: { refuses: 'an index that does not say where pages are' },
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { offset: 1n })),
  },

  // Header, page numbers and trailer.
  {
    name: 'reserved bytes in use',
    reference: 'accepts',
    ltxd: { refuses: 'reserved bytes in use' },
    file: withHeader((view) => view.setUint8(99, 1)),
  },
  {
    name: 'a dropped database without checksums',
    reference: 'accepts',
    ltxd: { refuses: 'a dropped database without checksums' },
    file: withHeader((view, parts) => {
      view.setUint32(4, NO_CHECKSUM)
      view.setUint32(12, 0)
      view.setBigUint64(40, 0n)
      parts.pages = []
      parts.postApply = 0n
    }),
  },
  {
    name: 'a timestamp of 2^60',
    reference: 'accepts',
    ltxd: { refuses: 'a time beyond the year 287396' },
    file: withHeader((view) => view.setBigUint64(32, 1n << 60n)),
  },
  {
    name: 'a WAL offset of 2^60',
    reference: 'accepts',
    ltxd: { refuses: 'a WAL of more than 2^53 bytes' },
    file: withHeader((view) => view.setBigUint64(48, 1n << 60n)),
  },
  {
    name: 'the lock page',
    reference: 'accepts',
    ltxd: { refuses: 'the lock page' },
    file: withHeader((view, parts) => {
      view.setUint32(12, 2_097_153)
      parts.pages[1] = blockPage(2_097_153, compressBlock(page))
    }),
  },
  {
    name: 'a snapshot of two pages of four',
    reference: 'accepts',
    ltxd: { refuses: 'a snapshot with pages missing' },
    file: withHeader((view, parts) => {
      view.setBigUint64(16, 1n)
      view.setBigUint64(40, 0n)
      parts.postApply = checksumOfPages(parts)
    }),
  },
  {
    name: 'a post-apply checksum of 1',
    reference: 'accepts',
    ltxd: { refuses: 'a post-apply checksum that cannot be' },
    file: withHeader((_, parts) => (parts.postApply = 1n)),
  },
]
