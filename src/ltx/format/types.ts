/** The vocabulary of LTX. Source: superfly/ltx 0.5.3. */

declare const brand: unique symbol

/** 64-bit transaction number of a database: 1, 2, 3 … */
export type TXID = bigint & { readonly [brand]: 'TXID' }

/** CRC-64/ISO of a page or of a whole database; bit 63 is always set on a stored one. */
export type Checksum = bigint & { readonly [brand]: 'Checksum' }

/** Page number, from 1. */
export type Pgno = number

/** The position of a database: its last transaction, and the rolling checksum of all its pages after it. */
export interface Position {
  readonly txid: TXID
  readonly checksum: Checksum
}

/** Bit 63, set on every checksum that is stored. */
export const CHECKSUM_FLAG = 1n << 63n

/** The checksum of a database without pages. */
export const EMPTY_CHECKSUM = CHECKSUM_FLAG as Checksum

const MAX_U64 = (1n << 64n) - 1n

/** Throws RangeError unless it is an unsigned 64-bit integer. */
export function toTXID(value: bigint | number): TXID {
  const txid = BigInt(value)
  if (txid < 0n || txid > MAX_U64) throw new RangeError(`transaction number ${txid} is not an unsigned 64-bit integer`)
  return txid as TXID
}

/** The transaction after this one. */
export function nextTXID(txid: TXID): TXID {
  return (txid + 1n) as TXID
}

/** Sixteen lowercase hex digits. */
export function formatTXID(txid: TXID): string {
  return txid.toString(16).padStart(16, '0')
}

/** Accepts up to sixteen hex digits, of either case. Throws RangeError. */
export function parseTXID(text: string): TXID {
  if (!/^[0-9a-fA-F]{1,16}$/.test(text)) {
    throw new RangeError(`"${text}" is not a transaction number: expected up to 16 hexadecimal digits`)
  }
  return BigInt(`0x${text}`) as TXID
}

/** Sixteen lowercase hex digits. */
export function formatChecksum(checksum: Checksum): string {
  return checksum.toString(16).padStart(16, '0')
}

/** Accepts exactly sixteen hex digits, of either case. Throws RangeError. */
export function parseChecksum(text: string): Checksum {
  if (!/^[0-9a-fA-F]{16}$/.test(text)) {
    throw new RangeError(`"${text}" is not a checksum: expected 16 hexadecimal digits`)
  }
  return BigInt(`0x${text}`) as Checksum
}

/** Whether both are the same transaction, and the same content after it. */
export function samePosition(a: Position, b: Position): boolean {
  return a.txid === b.txid && a.checksum === b.checksum
}

/** `txid/checksum`, each as sixteen hex digits. */
export function formatPosition(position: Position): string {
  return `${formatTXID(position.txid)}/${formatChecksum(position.checksum)}`
}

/** Accepts the format of `formatPosition`. Throws RangeError. */
export function parsePosition(text: string): Position {
  const [txid, checksum, ...rest] = text.split('/')
  if (txid === undefined || checksum === undefined || rest.length > 0) {
    throw new RangeError(`"${text}" is not a position: expected TXID/CHECKSUM`)
  }
  return { txid: parseTXID(txid), checksum: parseChecksum(checksum) }
}

/** The page that holds byte 2^30, where SQLite keeps its locks: never part of a transaction. */
export function lockPgno(pageSize: number): Pgno {
  return 0x40000000 / pageSize + 1
}

/** A power of two from 512 to 65536. */
export function isPageSize(value: number): boolean {
  return value >= 512 && value <= 65536 && (value & (value - 1)) === 0
}
