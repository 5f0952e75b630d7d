/**
 * Files that superfly/ltx 0.5.3 accepts and ltxd refuses, each kind with the reason. Everything else on which the two
 * disagree is a bug, and so is any file that ltxd accepts and superfly/ltx refuses.
 */
import type { LTXError } from '../../src/ltx/format/errors.ts'
import { readBlock } from './lenient-lz4.ts'
import { walkPages } from './walk.ts'

export interface Difference {
  readonly name: string
  readonly reason: string
  /** How ltxd's error says it. */
  readonly field: string | readonly string[]
  readonly message: RegExp
  /** What else must be so. */
  readonly holds?: (file: Uint8Array, error: LTXError) => boolean
}

const NOT_CHECKED_ON_READING =
  'superfly/ltx refuses to write it; its decoder does not ask. What comes out would be wrong.'
const NO_WRITER = 'No writer of LTX files makes it, and reading it takes more than a page of memory, or of time.'

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'reserved bytes in use',
    reason: 'They are zero in version 3. What a later version says in them would be lost without a word.',
    field: 'reserved bytes',
    message: /must be zero/,
  },
  {
    name: 'a dropped database without checksums',
    reason: NOT_CHECKED_ON_READING,
    field: 'commit',
    message: /a dropped database cannot be written without checksums/,
  },
  {
    name: 'a time beyond the year 287396',
    reason: 'Not a time, and no number that JavaScript has.',
    field: 'timestamp',
    message: /is not a time/,
  },
  {
    name: 'a WAL of more than 2^53 bytes',
    reason: 'There is none: a WAL ends long before. No number that JavaScript has.',
    field: ['WAL offset', 'WAL size'],
    message: /\d{16,} is out of range/,
  },
  {
    name: 'the lock page',
    reason: `${NOT_CHECKED_ON_READING} SQLite never reads or writes that page; locks lie there.`,
    field: 'page number',
    message: /is the lock page, which is never written/,
  },
  {
    name: 'a snapshot with pages missing',
    reason: 'What is restored from it has holes. superfly/ltx has this check on its list (decoder.go, Close).',
    field: 'page number',
    message: /stands where a snapshot has page|the snapshot ends with page/,
  },
  {
    name: 'a block that is too short',
    reason: 'The rest of such a page is whatever was in the reader’s buffer: with superfly/ltx, the page before.',
    field: ['page data size', 'page data'],
    message: /^page data size: 0 bytes are not an LZ4 block|does not decompress to \d+ bytes/,
    holds: isShortBlock,
  },
  {
    name: 'an index that does not say where pages are',
    reason: 'Random access reads what the index names: other bytes of the file would be taken for a page.',
    field: 'page index',
    message: /page \d+ starts at byte|names other pages or sizes|(offset|size) is out of range/,
  },
  {
    name: 'a post-apply checksum that cannot be',
    reason: `${NOT_CHECKED_ON_READING} A replica at that position could never be followed.`,
    field: 'post-apply checksum',
    message: /must be zero without checksums|is missing, or does not have bit 63 set|of a dropped database must be/,
  },
  {
    name: 'a frame that begins with another magic',
    reason: `Skippable and legacy LZ4 frames. ${NO_WRITER}`,
    field: 'LZ4 frame',
    message: /does not start with 04224d18/,
  },
  {
    name: 'a frame of an unknown version, or with a dictionary',
    reason: 'LZ4 demands that they are refused: what such bits mean is not known, or not there.',
    field: 'LZ4 frame',
    message: /flags 0x[0-9a-f]+ are not supported/,
  },
  {
    name: 'a page in several frames',
    reason: `Frames one behind the other. ${NO_WRITER}`,
    field: 'LZ4 frame',
    message: /decompresses to \d+ bytes: expected \d+/,
  },
  {
    name: 'a frame with an empty block, with very many, or very long',
    reason: NO_WRITER,
    field: 'LZ4 frame',
    message: /a block is empty|has more than 64 blocks|is longer than any frame of one page/,
  },
  {
    name: 'a frame without a content checksum, before bytes that look like a frame',
    reason: 'superfly/ltx refuses all others without one: here the next four bytes are taken for the checksum’s.',
    field: 'LZ4 frame',
    message: /has no content checksum/,
  },
  {
    name: 'a frame that does not end where its page does',
    reason:
      'superfly/ltx looks at eight bytes behind a page, and takes some that are no end mark and checksum for the end.',
    field: ['LZ4 frame', 'page block'],
    message: /./,
    holds: goesOnBehindItsPage,
  },
  {
    name: 'a block that refers to the page before',
    reason: 'A page must be readable alone, by random access, and whatever the reader read before.',
    field: 'LZ4 frame',
    message: /block is not valid, or decompresses to more than a page/,
  },
]

/**
 * The difference that explains why ltxd refuses, with this error, what superfly/ltx accepts; undefined: it is a bug.
 */
export function explain(file: Uint8Array, error: LTXError): Difference | undefined {
  return DIFFERENCES.find(
    ({ field, message, holds }) =>
      [field].flat().includes(error.field ?? '') && message.test(error.message) && (holds?.(file, error) ?? true),
  )
}

/** Valid, and less than a page. The error's place is the block, or, where that is empty, its size. */
function isShortBlock(file: Uint8Array, { offset = 0, field }: LTXError): boolean {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const at = field === 'page data size' ? offset : offset - 4
  const block = file.subarray(at + 4, at + 4 + view.getUint32(at))
  const read = readBlock(block, new Uint8Array(view.getUint32(8)), 0, new Uint8Array(0))
  return read >= 0 && read < view.getUint32(8)
}

/** In the LZ4 frame that the error is about, what stands behind the page is no end mark. */
function goesOnBehindItsPage(file: Uint8Array, { offset = 0 }: LTXError): boolean {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  for (const { at, flags, end } of walkPages(file)) {
    if (flags === 0 && end + 4 <= file.length && view.getUint32(end) !== 0) return offset >= at
  }
  return false
}
