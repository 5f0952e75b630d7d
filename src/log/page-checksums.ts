/**
 * `pages.bin`: the checksums of all pages of a database at a position, by which recovery finds damaged pages. It is
 * written now and then, never on the commit path; the log advances it.
 *
 * | at | size    | field                                                  |
 * |----|---------|--------------------------------------------------------|
 * | 0  | 8       | magic `LTXPAGE2`                                       |
 * | 8  | 8       | TXID                                                   |
 * | 16 | 8       | database checksum                                      |
 * | 24 | 8       | number of pages                                        |
 * | 32 | 8       | CRC-64 of the file without this field                  |
 * | 40 | 8 × n   | page checksums, page 1 first, in the machine's own byte order |
 *
 * It is verified twice: by its CRC, and because the fold of all entries must be the database checksum.
 */

import fs from 'node:fs'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { CHECKSUM_FLAG } from '../ltx/format/types.ts'
import { CRCRegister } from '../ltx/kernels/crc.ts'
import type { Files } from '../util/files.ts'
import { replaceFile, withFile } from '../util/files.ts'

const HEADER_SIZE = 40
const CRC_AT = 32
const MAGIC = Buffer.from('LTXPAGE2')
/** SQLite has no more. */
const MAX_PAGES = 0xfffffffen

export interface PageChecksums {
  readonly position: Position
  /** Index 0 is page 1; the lock page has 0. */
  readonly checksums: BigUint64Array
}

export function writePageChecksums(files: Files, path: string, position: Position, checksums: BigUint64Array): void {
  const bytes = new Uint8Array(HEADER_SIZE + checksums.byteLength)
  bytes.set(MAGIC)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(8, position.txid)
  view.setBigUint64(16, position.checksum)
  view.setBigUint64(24, BigInt(checksums.length))
  bytes.set(new Uint8Array(checksums.buffer, checksums.byteOffset, checksums.byteLength), HEADER_SIZE)
  view.setBigUint64(CRC_AT, crc(bytes))
  replaceFile(files, path, bytes)
}

/** undefined if the file is missing or fails verification: it is only an optimisation. */
export function readPageChecksums(files: Files, path: string): PageChecksums | undefined {
  if (!files.exists(path)) return undefined
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    const head = new Uint8Array(HEADER_SIZE)
    if (files.read(fd, head, 0, HEADER_SIZE, 0) < HEADER_SIZE || !MAGIC.equals(head.subarray(0, 8))) return undefined
    const sizeBytes = files.size(fd)
    const count = new DataView(head.buffer).getBigUint64(24)
    if (count > MAX_PAGES || BigInt(HEADER_SIZE) + count * 8n !== BigInt(sizeBytes)) return undefined
    const bytes = new Uint8Array(sizeBytes)
    if (files.read(fd, bytes, 0, sizeBytes, 0) < sizeBytes) return undefined
    const view = new DataView(bytes.buffer)
    if (view.getBigUint64(CRC_AT) !== crc(bytes)) return undefined
    const checksums = new BigUint64Array(bytes.buffer, HEADER_SIZE)
    const position = { txid: view.getBigUint64(8) as TXID, checksum: view.getBigUint64(16) as Checksum }
    return foldAll(checksums) === position.checksum ? { position, checksums } : undefined
  })
}

function crc(bytes: Uint8Array): bigint {
  const register = new CRCRegister()
  register.update(bytes.subarray(0, CRC_AT))
  register.update(bytes.subarray(HEADER_SIZE))
  return register.checksum()
}

/** The TXID in the header of the saved table, unverified; undefined if there is none. */
export function peekPageChecksums(files: Files, path: string): TXID | undefined {
  if (!files.exists(path)) return undefined
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    const bytes = new Uint8Array(HEADER_SIZE)
    if (files.read(fd, bytes, 0, HEADER_SIZE, 0) < HEADER_SIZE || !MAGIC.equals(bytes.subarray(0, 8))) return undefined
    return new DataView(bytes.buffer).getBigUint64(8) as TXID
  })
}

/** Folds page checksums into the database checksum. */
export function foldAll(checksums: BigUint64Array): Checksum {
  // Fold 32-bit words: a bigint for each page of a large database would take longer than reading the table.
  const words = new Uint32Array(checksums.buffer, checksums.byteOffset, checksums.length * 2)
  const sum = new BigUint64Array(1)
  const halves = new Uint32Array(sum.buffer)
  let first = 0
  let second = 0
  for (let i = 0; i < words.length; i += 2) {
    first ^= words[i] as number
    second ^= words[i + 1] as number
  }
  halves[0] = first
  halves[1] = second
  return ((sum[0] as bigint) | CHECKSUM_FLAG) as Checksum
}
