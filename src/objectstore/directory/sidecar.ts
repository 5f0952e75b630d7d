/**
 * An object's metadata in a directory: `<file>.meta.json` beside it. Litestream ignores such names. A sidecar is
 * valid only while its fingerprint matches the object: a tool that replaces the object without knowing of sidecars
 * thereby drops the metadata, as it would in S3.
 */

import { type FileHandle, open, readFile } from 'node:fs/promises'
import { z } from 'zod'
import { errorCode } from '../../util/errors.ts'
import { formatState, parseState, StateDamagedError } from '../../util/state-file.ts'
import type { Metadata } from '../objectstore.ts'

export const SIDECAR_SUFFIX = '.meta.json'

const SIDECAR = {
  format: 1,
  schema: z.strictObject({ sizeBytes: z.number(), tail: z.string(), metadata: z.record(z.string(), z.string()) }),
}

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
  return formatState(SIDECAR.format, { ...print, metadata }, 2)
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

/** undefined if it is damaged: the object's own checksums still protect its content. */
function parseSidecar(path: string, text: string): z.infer<typeof SIDECAR.schema> | undefined {
  try {
    return parseState(path, text, SIDECAR)
  } catch (error) {
    if (error instanceof StateDamagedError) return undefined
    throw error
  }
}
