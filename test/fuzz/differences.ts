/**
 * The kinds of files that superfly/ltx 0.5.3 accepts and ltxd rejects, with the reasons. Any other disagreement is a
 * bug, and so is any file that ltxd accepts and superfly/ltx rejects.
 */
import type { LTXError } from '../../src/ltx/format/errors.ts'
import { readBlock } from './lenient-lz4.ts'
import { walkPages } from './walk.ts'

export interface Difference {
  readonly name: string
  readonly reason: string
  /** The field of ltxd's error. */
  readonly field: string | readonly string[]
  readonly message: RegExp
  /** A further condition. */
  readonly holds?: (file: Uint8Array, error: LTXError) => boolean
}

const NOT_CHECKED_ON_READING =
  'superfly/ltx does not write such a file, but its decoder does not check. The result would be wrong.'
const NO_WRITER = 'No writer of LTX files makes it, and reading it takes more memory or time than a page.'

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'reserved bytes in use',
    reason: 'They are zero in version 3. The meaning that a later version gives them would be lost silently.',
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
    reason: 'It is no valid time, and no exact number in JavaScript.',
    field: 'timestamp',
    message: /is not a time/,
  },
  {
    name: 'a WAL of more than 2^53 bytes',
    reason: 'No WAL is that long, and it is no exact number in JavaScript.',
    field: ['WAL offset', 'WAL size'],
    message: /\d{16,} is out of range/,
  },
  {
    name: 'the lock page',
    reason: `${NOT_CHECKED_ON_READING} SQLite never reads or writes the lock page.`,
    field: 'page number',
    message: /is the lock page, which is never written/,
  },
  {
    name: 'a snapshot with pages missing',
    reason: 'A database restored from it would have holes. superfly/ltx plans this check (decoder.go, Close).',
    field: 'page number',
    message: /stands where a snapshot has page|the snapshot ends with page/,
  },
  {
    name: 'a block that is too short',
    reason: 'The rest of the page would be the content of the reader’s buffer: with superfly/ltx, the page before.',
    field: ['page data size', 'page data'],
    message: /^page data size: 0 bytes are not an LZ4 block|does not decompress to \d+ bytes/,
    holds: isShortBlock,
  },
  {
    name: 'an index that does not say where pages are',
    reason: 'Random access trusts the index, and would take other bytes of the file for a page.',
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
    reason: 'LZ4 requires decoders to reject them: the bits are undefined, or the dictionary is missing.',
    field: 'LZ4 frame',
    message: /flags 0x[0-9a-f]+ are not supported/,
  },
  {
    name: 'a page in several frames',
    reason: `The page is in consecutive frames. ${NO_WRITER}`,
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
    reason: 'superfly/ltx rejects all others without one. Here it takes the next four bytes for the checksum.',
    field: 'LZ4 frame',
    message: /has no content checksum/,
  },
  {
    name: 'a frame that does not end where its page does',
    reason:
      'superfly/ltx reads eight bytes after a page, and accepts some that are no end mark and checksum as the end.',
    field: ['LZ4 frame', 'page block'],
    message: /./,
    holds: goesOnBehindItsPage,
  },
  {
    name: 'a block that refers to the page before',
    reason: 'A page must be readable alone by random access, independent of earlier reads.',
    field: 'LZ4 frame',
    message: /block is not valid, or decompresses to more than a page/,
  },
]

/**
 * The listed difference that explains this error for a file that superfly/ltx accepts. undefined means a bug.
 */
export function explain(file: Uint8Array, error: LTXError): Difference | undefined {
  return DIFFERENCES.find(
    ({ field, message, holds }) =>
      [field].flat().includes(error.field ?? '') && message.test(error.message) && (holds?.(file, error) ?? true),
  )
}

/** Whether the block is valid but shorter than a page. The error's offset is the block, or the size of an empty one. */
function isShortBlock(file: Uint8Array, { offset = 0, field }: LTXError): boolean {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const at = field === 'page data size' ? offset : offset - 4
  const block = file.subarray(at + 4, at + 4 + view.getUint32(at))
  const read = readBlock(block, new Uint8Array(view.getUint32(8)), 0, new Uint8Array(0))
  return read >= 0 && read < view.getUint32(8)
}

/** Whether the bytes after the page are no end mark, in the LZ4 frame of the error. */
function goesOnBehindItsPage(file: Uint8Array, { offset = 0 }: LTXError): boolean {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  for (const { at, flags, end } of walkPages(file)) {
    if (flags === 0 && end + 4 <= file.length && view.getUint32(end) !== 0) return offset >= at
  }
  return false
}
