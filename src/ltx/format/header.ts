/** Header and trailer of an LTX file, all big-endian. Source: superfly/ltx 0.5.3, ltx.go. */
import { LTXError } from './errors.ts'
import { type Checksum, CHECKSUM_FLAG, isPageSize, toTXID, type TXID } from './types.ts'

/** Bytes of a file's header. */
export const HEADER_SIZE = 100
/** Bytes of a file's trailer. */
export const TRAILER_SIZE = 16
/** Bytes of the page number and flags before each page. */
export const PAGE_HEADER_SIZE = 6

/** Header flag: database checksums are not tracked, so pre- and post-apply checksum are zero. */
export const NO_CHECKSUM = 0x2

/** Page header flag: a size field follows, and the data is an LZ4 block. Without it, it is an LZ4 frame. */
export const PAGE_HAS_SIZE = 0x1

/** The first 100 bytes of a file. */
export interface Header {
  /** NO_CHECKSUM, or 0. */
  readonly flags: number
  /** Bytes; a power of two from 512 to 65536. */
  readonly pageSize: number
  /** Pages of the database after the transaction. Zero: the database was dropped. */
  readonly commit: number
  /** The first transaction in the file. 1: the file is a snapshot, and holds every page. */
  readonly minTXID: TXID
  /** The last transaction in the file. Equal to `minTXID` if there is only one. */
  readonly maxTXID: TXID
  /** Milliseconds since the Unix epoch. */
  readonly timestampMs: number
  /** Of the whole database before the transactions. Zero in a snapshot (minTXID 1) and without checksums. */
  readonly preApplyChecksum: Checksum | 0n
  /** Position of the transaction in the WAL that it was read from. All are zero for a rollback journal. */
  readonly walOffset: number
  readonly walSize: number
  readonly walSalt1: number
  readonly walSalt2: number
  /** Unsigned, 64 bits; zero if unset. */
  readonly nodeId: bigint
}

/** The last 16 bytes of a file. */
export interface Trailer {
  /** Of the whole database after the transactions. Zero without checksums. */
  readonly postApplyChecksum: Checksum | 0n
  /** Of the file's own content, with page data decompressed. */
  readonly fileChecksum: Checksum
}

const MAGIC = 0x4c545831 // LTX1

/** Where each field starts. */
const AT = {
  magic: 0,
  flags: 4,
  pageSize: 8,
  commit: 12,
  minTXID: 16,
  maxTXID: 24,
  timestampMs: 32,
  preApplyChecksum: 40,
  walOffset: 48,
  walSize: 56,
  walSalt1: 64,
  walSalt2: 68,
  nodeId: 72,
  reserved: 80,
} as const

const MAX_U32 = 0xffffffff
const MAX_U64 = (1n << 64n) - 1n

/** Whether the file holds every page of the database: its first transaction is number 1. */
export function isSnapshot(header: Header): boolean {
  return header.minTXID === 1n
}

/** Whether pre- and post-apply checksum are tracked. */
export function hasChecksums(header: Header): boolean {
  return (header.flags & NO_CHECKSUM) === 0
}

/** With checksums, not read from a WAL, of no node. */
export const UNSET_FIELDS = {
  flags: 0,
  preApplyChecksum: 0n,
  walOffset: 0,
  walSize: 0,
  walSalt1: 0,
  walSalt2: 0,
  nodeId: 0n,
} as const satisfies Partial<Header>

/**
 * A header with defaults: one transaction, now, with checksums, not read from a WAL, of no node. Unless the file is a
 * snapshot or has no checksums, a pre-apply checksum is required. Throws LTXError.
 */
export function makeHeader(fields: Pick<Header, 'pageSize' | 'commit' | 'minTXID'> & Partial<Header>): Header {
  const header: Header = { ...UNSET_FIELDS, maxTXID: fields.minTXID, timestampMs: Date.now(), ...fields }
  validateHeader(header)
  return header
}

/** A header of a file that holds every page, as of transaction `maxTXID`. Throws LTXError. */
export function snapshotHeader(
  fields: Pick<Header, 'pageSize' | 'commit' | 'maxTXID' | 'timestampMs'> & Partial<Pick<Header, 'flags'>>,
): Header {
  return makeHeader({ ...fields, minTXID: toTXID(1) })
}

/** Throws LTXError at the first field that breaks a rule of the format. */
export function validateHeader(header: Header): void {
  const fail = (field: keyof typeof AT, problem: string): never => {
    throw new LTXError(problem, { offset: AT[field], field: FIELD_NAMES[field] })
  }
  const { flags, pageSize, commit, minTXID, maxTXID, preApplyChecksum, walOffset, walSize, walSalt1, walSalt2 } = header
  if ((flags & ~NO_CHECKSUM) !== 0) fail('flags', `0x${(flags >>> 0).toString(16)} has bits other than 0x2`)
  if (!isPageSize(pageSize)) fail('pageSize', `${pageSize} is not a power of two from 512 to 65536`)
  if (!isU32(commit)) fail('commit', `${commit} is not an unsigned 32-bit integer`)
  if (commit === 0 && !hasChecksums(header)) fail('commit', 'a dropped database cannot be written without checksums')
  if (minTXID < 1n || minTXID > MAX_U64) fail('minTXID', `${minTXID} is not a transaction number from 1 up`)
  if (maxTXID < minTXID || maxTXID > MAX_U64) fail('maxTXID', `${maxTXID} is not a number from minimum ${minTXID} up`)
  if (!Number.isSafeInteger(header.timestampMs)) fail('timestampMs', `${header.timestampMs} is not a time`)
  if (isSnapshot(header) || !hasChecksums(header)) {
    if (preApplyChecksum !== 0n) {
      fail('preApplyChecksum', `must be zero ${isSnapshot(header) ? 'in a snapshot' : 'without checksums'}`)
    }
  } else if (!isStoredChecksum(preApplyChecksum)) {
    fail('preApplyChecksum', 'is missing, or does not have bit 63 set')
  }
  if (!isSize(walOffset)) fail('walOffset', `${walOffset} is out of range`)
  if (!isSize(walSize)) fail('walSize', `${walSize} is out of range`)
  if (!isU32(walSalt1)) fail('walSalt1', `${walSalt1} is not an unsigned 32-bit integer`)
  if (!isU32(walSalt2)) fail('walSalt2', `${walSalt2} is not an unsigned 32-bit integer`)
  if (walOffset === 0 && (walSize !== 0 || walSalt1 !== 0 || walSalt2 !== 0)) {
    fail('walOffset', 'must be set when a WAL size or a WAL salt is')
  }
  if (header.nodeId < 0n || header.nodeId > MAX_U64)
    fail('nodeId', `${header.nodeId} is not an unsigned 64-bit integer`)
}

/** Validates, then writes 100 bytes to the start of `into`. */
export function marshalHeader(header: Header, into: Uint8Array = new Uint8Array(HEADER_SIZE)): Uint8Array {
  validateHeader(header)
  const view = new DataView(into.buffer, into.byteOffset, HEADER_SIZE)
  view.setUint32(AT.magic, MAGIC)
  view.setUint32(AT.flags, header.flags)
  view.setUint32(AT.pageSize, header.pageSize)
  view.setUint32(AT.commit, header.commit)
  view.setBigUint64(AT.minTXID, header.minTXID)
  view.setBigUint64(AT.maxTXID, header.maxTXID)
  view.setBigInt64(AT.timestampMs, BigInt(header.timestampMs))
  view.setBigUint64(AT.preApplyChecksum, header.preApplyChecksum)
  view.setBigUint64(AT.walOffset, BigInt(header.walOffset))
  view.setBigUint64(AT.walSize, BigInt(header.walSize))
  view.setUint32(AT.walSalt1, header.walSalt1)
  view.setUint32(AT.walSalt2, header.walSalt2)
  view.setBigUint64(AT.nodeId, header.nodeId)
  into.fill(0, AT.reserved, HEADER_SIZE)
  return into
}

/** Reads and validates the first 100 bytes. Throws LTXError. */
export function unmarshalHeader(bytes: Uint8Array): Header {
  if (bytes.length < HEADER_SIZE) {
    throw new LTXError(`${bytes.length} bytes are too few: a header has ${HEADER_SIZE}`, { offset: 0, field: 'header' })
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE)
  if (view.getUint32(AT.magic) !== MAGIC) {
    throw new LTXError('not an LTX file: it does not start with "LTX1"', { offset: AT.magic, field: 'magic' })
  }
  const header: Header = {
    flags: view.getUint32(AT.flags),
    pageSize: view.getUint32(AT.pageSize),
    commit: view.getUint32(AT.commit),
    minTXID: view.getBigUint64(AT.minTXID) as TXID,
    maxTXID: view.getBigUint64(AT.maxTXID) as TXID,
    timestampMs: Number(view.getBigInt64(AT.timestampMs)),
    preApplyChecksum: view.getBigUint64(AT.preApplyChecksum) as Checksum,
    walOffset: Number(view.getBigInt64(AT.walOffset)),
    walSize: Number(view.getBigInt64(AT.walSize)),
    walSalt1: view.getUint32(AT.walSalt1),
    walSalt2: view.getUint32(AT.walSalt2),
    nodeId: view.getBigUint64(AT.nodeId),
  }
  validateHeader(header)
  for (let at = AT.reserved; at < HEADER_SIZE; at++) {
    if (bytes[at] !== 0) throw new LTXError('must be zero', { offset: at, field: FIELD_NAMES.reserved })
  }
  return header
}

/** Throws LTXError unless the post-apply checksum is one that a file with this header can have. */
export function validatePostApplyChecksum(checksum: Checksum | 0n, header: Header, offset?: number): void {
  const fail = (problem: string): never => {
    throw new LTXError(problem, { ...(offset === undefined ? {} : { offset }), field: 'post-apply checksum' })
  }
  if (!hasChecksums(header)) {
    if (checksum !== 0n) fail('must be zero without checksums')
  } else if (!isStoredChecksum(checksum)) {
    fail('is missing, or does not have bit 63 set')
  } else if (header.commit === 0 && checksum !== CHECKSUM_FLAG) {
    fail('of a dropped database must be that of no pages, 8000000000000000')
  }
}

/** Reads and validates 16 bytes, which start at byte `offset` of the file. Throws LTXError. */
export function unmarshalTrailer(bytes: Uint8Array, header: Header, offset: number): Trailer {
  if (bytes.length < TRAILER_SIZE) {
    throw new LTXError(`${bytes.length} bytes are too few: a trailer has ${TRAILER_SIZE}`, { offset, field: 'trailer' })
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, TRAILER_SIZE)
  const postApplyChecksum = view.getBigUint64(0) as Checksum
  const fileChecksum = view.getBigUint64(8) as Checksum
  validatePostApplyChecksum(postApplyChecksum, header, offset)
  if (!isStoredChecksum(fileChecksum)) {
    throw new LTXError('is missing, or does not have bit 63 set', { offset: offset + 8, field: 'file checksum' })
  }
  return { postApplyChecksum, fileChecksum }
}

const FIELD_NAMES: Record<keyof typeof AT, string> = {
  magic: 'magic',
  flags: 'flags',
  pageSize: 'page size',
  commit: 'commit',
  minTXID: 'minimum TXID',
  maxTXID: 'maximum TXID',
  timestampMs: 'timestamp',
  preApplyChecksum: 'pre-apply checksum',
  walOffset: 'WAL offset',
  walSize: 'WAL size',
  walSalt1: 'WAL salt 1',
  walSalt2: 'WAL salt 2',
  nodeId: 'node id',
  reserved: 'reserved bytes',
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_U32
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isStoredChecksum(checksum: bigint): boolean {
  return checksum >= CHECKSUM_FLAG && checksum <= MAX_U64
}
