/**
 * Names of files as strings, whatever bytes they are. Linux allows every byte but `/` and NUL, and Node decodes what is
 * not UTF-8 to U+FFFD, so that two names become one. Here each byte that is not part of valid UTF-8 becomes a lone
 * surrogate: 0x80 is U+DC80, 0xff is U+DCFF, as with Python's `surrogateescape`. No valid UTF-8 decodes to a lone
 * surrogate, so each name is one string, and each such string is one name. Such a name is no database's
 * (log/database-name.ts): a log, a backup or a message could not hold it.
 *
 * A path goes to the kernel through `native`. A name that is valid UTF-8 costs a check there, and no allocation.
 */

import { isUtf8 } from 'node:buffer'
import fs from 'node:fs'

/** What Node's functions take for a path. */
export type NativePath = string | Buffer

const REPLACEMENT = '\ufffd'
const ESCAPED_BYTE = /([\udc80-\udcff])/u
/** U+DC80 stands for the byte 0x80. */
const ESCAPE_BASE = 0xdc00
const MAX_CHARACTER_BYTES = 4

/** The string of a name's bytes from `start` to `end`. */
export function decodeName(bytes: Buffer, start = 0, end = bytes.length): string {
  const text = bytes.toString('utf8', start, end)
  if (!text.includes(REPLACEMENT)) return text
  const name = bytes.subarray(start, end)
  return isUtf8(name) ? text : escapeInvalid(name)
}

/** The bytes of a name or path. */
export function encodeName(name: string): Buffer {
  const parts = name.split(ESCAPED_BYTE)
  return Buffer.concat(
    parts.map((part, i) => (i % 2 === 0 ? Buffer.from(part) : Buffer.of(part.charCodeAt(0) - ESCAPE_BASE))),
  )
}

/** How many bytes a name has. */
export function nameBytes(name: string): number {
  return name.isWellFormed() ? Buffer.byteLength(name) : encodeName(name).length
}

/** Writes a name's bytes, without a zero byte, and returns how many they are. */
export function writeName(into: Buffer, name: string, at: number): number {
  return name.isWellFormed() ? into.write(name, at) : encodeName(name).copy(into, at)
}

/** The path as Node has to get it. */
export function native(path: string): NativePath {
  return path.isWellFormed() ? path : encodeName(path)
}

/** The names in a directory. */
export function listNames(path: string): string[] {
  const at = native(path)
  const names = fs.readdirSync(at)
  if (!names.some((name) => name.includes(REPLACEMENT))) return names
  return fs.readdirSync(at, 'buffer').map((name) => decodeName(name))
}

/** An entry of a directory, with what the directory says about its type. */
export interface NamedEntry {
  readonly name: string
  readonly isFile: boolean
  readonly isDirectory: boolean
}

/** The names in a directory, with their types. */
export function listEntries(path: string): NamedEntry[] {
  const at = native(path)
  const entries = fs.readdirSync(at, { withFileTypes: true })
  if (!entries.some(({ name }) => name.includes(REPLACEMENT))) return entries.map((entry) => named(entry, entry.name))
  return fs
    .readdirSync(at, { withFileTypes: true, encoding: 'buffer' })
    .map((entry) => named(entry, decodeName(entry.name)))
}

function named(entry: Pick<fs.Dirent, 'isFile' | 'isDirectory'>, name: string): NamedEntry {
  return { name, isFile: entry.isFile(), isDirectory: entry.isDirectory() }
}

function escapeInvalid(bytes: Buffer): string {
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at)
    text += length > 0 ? bytes.toString('utf8', at, at + length) : String.fromCharCode(ESCAPE_BASE + (bytes[at] ?? 0))
    at += length || 1
  }
  return text
}

/** The length of the character at `at`; 0 where none begins there. */
function characterLength(bytes: Buffer, at: number): number {
  for (let length = 1; length <= MAX_CHARACTER_BYTES && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) return length
  }
  return 0
}
