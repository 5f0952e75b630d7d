/**
 * Files that the fuzzer found, each as a recipe. On some the two decoders disagreed until ltxd was fixed. On the others
 * they still disagree, for the reason in differences.ts.
 */
import { NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { compressBlock } from '../../src/ltx/kernels/lz4-block.ts'
import { literals } from './lz4-blocks.ts'
import { blockOf, FLAG } from './lz4-frames.ts'
import { assemble, checksumOfPages } from './parts.ts'
import {
  blockPage,
  emptyRaw,
  endsWithMatch,
  framePage,
  halfFrames,
  linkedFrames,
  PAGE,
  page,
  putEntries,
  right,
  withBlock,
  withFrame,
  withHeader,
  withIndex,
} from './recipe-parts.ts'

export interface Recipe {
  readonly name: string
  readonly reference: 'accepts' | 'rejects'
  /** ltxd's verdict, or the name of the difference if only the reference accepts. */
  readonly ltxd: 'accepts' | 'rejects' | { readonly rejects: string }
  readonly file: () => Uint8Array
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
    reference: 'rejects',
    ltxd: 'rejects',
    file: withBlock(literals(page).map((byte, at) => (at === 0 ? byte | 3 : byte))),
  },
  {
    name: 'a block of a part of the page',
    reference: 'accepts',
    ltxd: { rejects: 'a block that is too short' },
    file: withBlock(literals(page.subarray(0, 300))),
  },
  {
    name: 'a block of no bytes',
    reference: 'accepts',
    ltxd: { rejects: 'a block that is too short' },
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
    reference: 'rejects',
    ltxd: 'rejects',
    file: withFrame((spec) => (spec.flags &= ~FLAG.contentChecksum)),
  },
  {
    name: 'a frame without one, before what looks like another',
    reference: 'accepts',
    ltxd: { rejects: 'a frame without a content checksum, before bytes that look like a frame' },
    file: withFrame((spec) => {
      spec.flags &= ~FLAG.contentChecksum
      spec.after = Uint8Array.of(0x04, 0x22, 0x4d, 0x18)
    }),
  },
  {
    name: 'a frame of a block size class that is none',
    reference: 'rejects',
    ltxd: 'rejects',
    file: withFrame((spec) => (spec.blockSizes = 0x30)),
  },
  {
    name: 'a frame that begins with one to skip',
    reference: 'accepts',
    ltxd: { rejects: 'a frame that begins with another magic' },
    file: withFrame((spec) => (spec.before = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9))),
  },
  {
    name: 'a frame of version 3',
    reference: 'accepts',
    ltxd: { rejects: 'a frame of an unknown version, or with a dictionary' },
    file: withFrame((spec) => (spec.flags |= 0x80)),
  },
  {
    name: 'a page in two frames',
    reference: 'accepts',
    ltxd: { rejects: 'a page in several frames' },
    file: withHeader((_, parts) => (parts.pages[0] = framePage(1, halfFrames()))),
  },
  {
    name: 'a frame that begins with an empty block',
    reference: 'accepts',
    ltxd: { rejects: 'a frame with an empty block, with very many, or very long' },
    file: withFrame(({ blocks }) => blocks.unshift(emptyRaw)),
  },
  {
    name: 'a frame that begins with an empty compressed block',
    reference: 'accepts',
    ltxd: { rejects: 'a frame with an empty block, with very many, or very long' },
    file: withFrame(({ blocks }) => blocks.unshift(blockOf(Uint8Array.of(0)))),
  },
  {
    name: 'a frame with an empty compressed block behind the page',
    reference: 'rejects',
    ltxd: 'rejects',
    file: withFrame(({ blocks }) => blocks.push(blockOf(Uint8Array.of(0)))),
  },
  {
    name: 'a frame of 65 blocks',
    reference: 'accepts',
    ltxd: { rejects: 'a frame with an empty block, with very many, or very long' },
    file: withFrame((spec) => {
      spec.blocks = Array.from({ length: 65 }, (_, n) =>
        blockOf(literals(page.subarray(n * 7, n === 64 ? PAGE : n * 7 + 7))),
      )
    }),
  },
  {
    name: 'a frame that goes on where it should end',
    reference: 'accepts',
    ltxd: { rejects: 'a frame that does not end where its page does' },
    file: withFrame((spec) => {
      spec.flags |= FLAG.blockChecksums
      spec.endMark = 4
    }),
  },
  {
    name: 'a frame whose first match is in the page before',
    reference: 'accepts',
    ltxd: { rejects: 'a block that refers to the page before' },
    file: withHeader((_, parts) => (parts.pages = linkedFrames())),
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
    reference: 'rejects',
    ltxd: 'rejects',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, {}, 10)),
  },
  {
    name: 'a page number that is right but for 2^32',
    reference: 'rejects',
    ltxd: 'rejects',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { pgno: 1n << 32n })),
  },
  {
    name: 'a size that is right but for 2^32',
    reference: 'accepts',
    ltxd: { rejects: 'an index that does not say where pages are' },
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { size: 1n << 32n })),
  },
  {
    name: 'an offset into the page before its own',
    reference: 'rejects',
    ltxd: 'rejects',
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { offset: -1n })),
  },
  {
    name: 'an offset behind the page’s start',
    reference: 'accepts',
    ltxd: { rejects: 'an index that does not say where pages are' },
    file: withIndex((bytes, parts) => putEntries(bytes, parts, { offset: 1n })),
  },

  // Header, page numbers and trailer.
  {
    name: 'reserved bytes in use',
    reference: 'accepts',
    ltxd: { rejects: 'reserved bytes in use' },
    file: withHeader((view) => view.setUint8(99, 1)),
  },
  {
    name: 'a dropped database without checksums',
    reference: 'accepts',
    ltxd: { rejects: 'a dropped database without checksums' },
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
    ltxd: { rejects: 'a time beyond the year 287396' },
    file: withHeader((view) => view.setBigUint64(32, 1n << 60n)),
  },
  {
    name: 'a WAL offset of 2^60',
    reference: 'accepts',
    ltxd: { rejects: 'a WAL of more than 2^53 bytes' },
    file: withHeader((view) => view.setBigUint64(48, 1n << 60n)),
  },
  {
    name: 'the lock page',
    reference: 'accepts',
    ltxd: { rejects: 'the lock page' },
    file: withHeader((view, parts) => {
      view.setUint32(12, 2_097_153)
      parts.pages[1] = blockPage(2_097_153, compressBlock(page))
    }),
  },
  {
    name: 'a snapshot of two pages of four',
    reference: 'accepts',
    ltxd: { rejects: 'a snapshot with pages missing' },
    file: withHeader((view, parts) => {
      view.setBigUint64(16, 1n)
      view.setBigUint64(40, 0n)
      parts.postApply = checksumOfPages(parts)
    }),
  },
  {
    name: 'a post-apply checksum of 1',
    reference: 'accepts',
    ltxd: { rejects: 'a post-apply checksum that cannot be' },
    file: withHeader((_, parts) => (parts.postApply = 1n)),
  },
]
