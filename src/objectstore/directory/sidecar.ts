/**
 * An object's metadata in a directory: `<file>.meta.json` beside it. Litestream ignores such names. A sidecar is
 * valid only while its fingerprint matches the object: a tool that replaces the object without knowing of sidecars
 * thereby drops the metadata, as it would in S3.
 */

import { type FileHandle, open, readFile } from 'node:fs/promises'
import { errorCode } from '../../util/errors.ts'
import { assertFormat } from '../../util/format-number.ts'
import type { Metadata } from '../objectstore.ts'

export const SIDECAR_SUFFIX = '.meta.json'

const FORMAT = 1

const MAX_SIDECAR_BYTES = 64 * 1024
const TAIL_BYTES = 16

/** Size and last bytes of an object. An LTX file ends with its checksum. */
export interface Fingerprint {
  readonly sizeBytes: number
  /** The last 16 bytes (fewer in a shorter object), in hex. */
  readonly tail: string
}

export async function fingerprint(handle: FileHandle): Promise<Fingerprint> {
  const { size } = await handle.stat()
  const length = Math.min(size, TAIL_BYTES)
  const tail = Buffer.alloc(length)
  await handle.read(tail, 0, length, size - length)
  return { sizeBytes: size, tail: tail.toString('hex') }
}

export function formatSidecar(metadata: Metadata, print: Fingerprint): string {
  return JSON.stringify({ format: FORMAT, ...print, metadata }, undefined, 2) + '\n'
}

/**
 * The metadata of the object at `path`; empty when it has no sidecar, or another object's. Throws UnknownFormatError
 * for a sidecar that a later version wrote.
 */
export async function readSidecar(path: string): Promise<Metadata> {
  let text: string
  try {
    text = await readBounded(path + SIDECAR_SUFFIX)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return {}
    throw error
  }
  const sidecar = parseSidecar(path + SIDECAR_SUFFIX, text)
  if (sidecar === undefined) return {}
  const handle = await open(path, 'r')
  try {
    const actual = await fingerprint(handle)
    return actual.sizeBytes === sidecar.sizeBytes && actual.tail === sidecar.tail ? sidecar.metadata : {}
  } finally {
    await handle.close()
  }
}

async function readBounded(path: string): Promise<string> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    return size > MAX_SIDECAR_BYTES ? '' : await readFile(handle, 'utf8')
  } finally {
    await handle.close()
  }
}

function parseSidecar(path: string, text: string): (Fingerprint & { metadata: Metadata }) | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  assertFormat(path, value, [FORMAT])
  const { sizeBytes, tail, metadata } = value as Record<string, unknown>
  if (typeof sizeBytes !== 'number' || typeof tail !== 'string') return undefined
  if (typeof metadata !== 'object' || metadata === null) return undefined
  const pairs = Object.entries(metadata).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  return { sizeBytes, tail, metadata: Object.fromEntries(pairs) }
}
