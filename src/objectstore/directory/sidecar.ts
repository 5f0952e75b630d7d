/**
 * An object's metadata in a directory: `<file>.meta.json` beside it. Litestream ignores such names. A sidecar is
 * valid only while its fingerprint matches the object: a tool that replaces the object without knowing of sidecars
 * thereby drops the metadata, as it would in S3.
 */

import { type FileHandle, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { removeFile, syncDirectory } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import { create } from '../../util/private-files.ts'
import { formatState, parseState, StateDamagedError } from '../../util/state-file.ts'
import type { Metadata } from '../objectstore.ts'
import { openRegular } from './beneath.ts'

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

/** undefined: an object without metadata has no sidecar. */
export function formatSidecar(metadata: Metadata | undefined, print: Fingerprint): string | undefined {
  return Object.keys(metadata ?? {}).length === 0 ? undefined : formatState(SIDECAR.format, { ...print, metadata }, 2)
}

/** Replaces the sidecar of the object at `path`, or removes it. It is written to the file `unfinished` first. */
export async function putSidecar(
  path: string,
  unfinished: string,
  text: string | undefined,
  mode: number,
): Promise<void> {
  const sidecar = path + SIDECAR_SUFFIX
  if (text === undefined) return void (await removeFile(sidecar))
  try {
    const handle = await create(unfinished, 'wx', mode)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(unfinished, sidecar)
  } finally {
    await removeFile(unfinished)
  }
  await syncDirectory(dirname(path))
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
  const handle = await openRegular(path)
  try {
    const actual = await fingerprint(handle)
    return actual.sizeBytes === sidecar.sizeBytes && actual.tail === sidecar.tail ? sidecar.metadata : {}
  } finally {
    await handle.close()
  }
}

/** Empty if there is more. A file may have no size, and bytes without end. */
async function readBounded(path: string): Promise<string> {
  const handle = await openRegular(path)
  try {
    const bytes = Buffer.alloc(MAX_SIDECAR_BYTES + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = (await handle.read(bytes, length, bytes.length - length, length)).bytesRead
    return length > MAX_SIDECAR_BYTES ? '' : bytes.toString('utf8', 0, length)
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
