/** The write-ahead log's format. Source: https://sqlite.org/fileformat2.html section 4. */

export const WAL_HEADER_SIZE = 32
export const FRAME_HEADER_SIZE = 24
/** The magic number and the format's version. */
const WAL_MAGIC_SIZE = 8

const MAGIC_LITTLE_ENDIAN = 0x377f0682
const MAGIC_BIG_ENDIAN = 0x377f0683
const FORMAT_VERSION = 3007000

export interface WalHeader {
  readonly pageSize: number
  /** How often the WAL was restarted. */
  readonly checkpointSequence: number
  readonly salt1: number
  readonly salt2: number
  /** Byte order of the words that checksums run over; every other field is big-endian. */
  readonly bigEndianChecksums: boolean
  readonly checksum1: number
  readonly checksum2: number
}

/** The running pair of 32-bit sums over 8-byte steps. One instance is reused: nothing is allocated for each frame. */
export class WalChecksum {
  s1 = 0
  s2 = 0

  set(s1: number, s2: number): this {
    this.s1 = s1
    this.s2 = s2
    return this
  }

  /** `length` is a multiple of 8. */
  update(view: DataView, offset: number, length: number, bigEndian: boolean): this {
    let { s1, s2 } = this
    const littleEndian = !bigEndian
    for (let at = offset, end = offset + length; at < end; at += 8) {
      s1 = (s1 + view.getUint32(at, littleEndian) + s2) | 0
      s2 = (s2 + view.getUint32(at + 4, littleEndian) + s1) | 0
    }
    this.s1 = s1 >>> 0
    this.s2 = s2 >>> 0
    return this
  }

  is(s1: number, s2: number): boolean {
    return this.s1 === s1 && this.s2 === s2
  }
}

/** Whether `bytes` begin as a WAL does. */
export function hasWalMagic(bytes: Uint8Array): boolean {
  if (bytes.length < WAL_MAGIC_SIZE) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, WAL_MAGIC_SIZE)
  const magic = view.getUint32(0)
  return (magic === MAGIC_LITTLE_ENDIAN || magic === MAGIC_BIG_ENDIAN) && view.getUint32(4) === FORMAT_VERSION
}

/** Returns undefined when the 32 bytes are not a valid header: SQLite then treats the WAL as empty. */
export function parseWalHeader(bytes: Uint8Array): WalHeader | undefined {
  if (bytes.length < WAL_HEADER_SIZE) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, WAL_HEADER_SIZE)
  const magic = view.getUint32(0)
  if (magic !== MAGIC_LITTLE_ENDIAN && magic !== MAGIC_BIG_ENDIAN) return undefined
  if (view.getUint32(4) !== FORMAT_VERSION) return undefined
  const pageSize = view.getUint32(8)
  if (pageSize < 512 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) return undefined
  const bigEndianChecksums = magic === MAGIC_BIG_ENDIAN
  const checksum1 = view.getUint32(24)
  const checksum2 = view.getUint32(28)
  if (!new WalChecksum().update(view, 0, 24, bigEndianChecksums).is(checksum1, checksum2)) return undefined
  const salts = { salt1: view.getUint32(16), salt2: view.getUint32(20) }
  return { pageSize, checkpointSequence: view.getUint32(12), ...salts, bigEndianChecksums, checksum1, checksum2 }
}

export function frameSize(pageSize: number): number {
  return FRAME_HEADER_SIZE + pageSize
}

/** The byte at which frame `index` (from 0) begins. */
export function frameOffset(index: number, pageSize: number): number {
  return WAL_HEADER_SIZE + index * frameSize(pageSize)
}

/** The index of the frame that `offset` lies in, from 0. */
export function frameIndex(offset: number, pageSize: number): number {
  return Math.floor((offset - WAL_HEADER_SIZE) / frameSize(pageSize))
}

/** Reads of a frame header's fields, all u32 big-endian, at an offset of a view. */
export const frameField = {
  pgno: (view: DataView, at: number) => view.getUint32(at),
  /** Size of the database in pages after the transaction that this frame ends; 0 if it ends none. */
  commit: (view: DataView, at: number) => view.getUint32(at + 4),
  salt1: (view: DataView, at: number) => view.getUint32(at + 8),
  salt2: (view: DataView, at: number) => view.getUint32(at + 12),
  checksum1: (view: DataView, at: number) => view.getUint32(at + 16),
  checksum2: (view: DataView, at: number) => view.getUint32(at + 20),
} as const
