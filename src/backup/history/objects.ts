/** The LTX objects of a backup as byte streams. Every error names the object. */

import { setMaxListeners } from 'node:events'
import { LTXError } from '../../ltx/format/errors.ts'
import { type Header, HEADER_SIZE, unmarshalHeader } from '../../ltx/format/header.ts'
import { formatTXID } from '../../ltx/format/types.ts'
import type { MergeInput } from '../../ltx/merge/merge-input.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { CorruptObjectError } from './errors.ts'
import type { BackupFile } from './history.ts'

/** Reads the first 100 bytes of an object. Throws CorruptObjectError, ObjectNotFoundError. */
export async function readHeader(store: ObjectStore, key: string, signal?: AbortSignal): Promise<Header> {
  const chunks: Uint8Array[] = []
  // An object that is too short has no such range. Reading all of it gives the better error.
  const head = await store.head(key, signal)
  const range = head !== undefined && head.sizeBytes >= HEADER_SIZE ? { start: 0, end: HEADER_SIZE - 1 } : undefined
  for await (const chunk of await store.get(key, range, signal)) chunks.push(chunk)
  return parseHeader(store, key, Buffer.concat(chunks))
}

/** A file of the backup as an input of a merge. Its header is compared with its key before a page is read. */
export function openInput(store: ObjectStore, file: BackupFile, signal?: AbortSignal): MergeInput {
  // A merge has one request for each input, and all of them listen to the same signal.
  if (signal !== undefined) setMaxListeners(0, signal)
  return {
    name: file.key,
    open: async () => headerChecked(store, file, await store.get(file.key, undefined, signal)),
  }
}

/** Runs a function that reads these files. Turns an LTXError into a CorruptObjectError for the file concerned. */
export async function reportingCorruption<T>(
  store: ObjectStore,
  files: readonly BackupFile[],
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw error instanceof LTXError ? corruption(store, files, error) : error
  }
}

/** As `reportingCorruption`, for a stream. */
export async function* reportingCorruptionStream(
  store: ObjectStore,
  files: readonly BackupFile[],
  stream: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  try {
    yield* stream
  } catch (error) {
    throw error instanceof LTXError ? corruption(store, files, error) : error
  }
}

/** A merge names the input in its message, and the decoder's error is the cause. */
function corruption(store: ObjectStore, files: readonly BackupFile[], error: LTXError): CorruptObjectError {
  const named = files.find(({ key }) => error.message.includes(key)) ?? files.at(-1)
  const inObject = error.cause instanceof LTXError ? error.cause : undefined
  // Without a cause it is the merge that found two inputs that do not fit each other.
  const options = { cause: error, conclusive: inObject !== undefined || files.length === 1 }
  return new CorruptObjectError(store.url, named?.key ?? '(unknown)', (inObject ?? error).message, options)
}

async function* headerChecked(
  store: ObjectStore,
  file: BackupFile,
  stream: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  let head: Uint8Array | undefined = new Uint8Array()
  for await (const chunk of stream) {
    if (head === undefined) {
      yield chunk
      continue
    }
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk])
    if (head.length < HEADER_SIZE) continue
    assertAgrees(store, file, parseHeader(store, file.key, head))
    yield head
    head = undefined
  }
  if (head !== undefined) yield head
}

/** Plans use keys and merges use headers: if they disagreed, a restore would produce a state that was not requested. */
function assertAgrees(store: ObjectStore, file: BackupFile, header: Header): void {
  if (header.minTXID === file.min && header.maxTXID === file.max) return
  const found = `${formatTXID(header.minTXID)} to ${formatTXID(header.maxTXID)}`
  const problem = `its header says transactions ${found} (at byte 16), not those of its name`
  throw new CorruptObjectError(store.url, file.key, problem)
}

function parseHeader(store: ObjectStore, key: string, bytes: Uint8Array): Header {
  try {
    return unmarshalHeader(bytes)
  } catch (error) {
    throw error instanceof LTXError ? new CorruptObjectError(store.url, key, error.message, { cause: error }) : error
  }
}
