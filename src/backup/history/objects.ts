/** The LTX objects of a backup as byte streams, with every error naming the object it is about. */

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
  // An object that is too short has no such range; reading all of it says so better.
  const head = await store.head(key)
  const range = head !== undefined && head.sizeBytes >= HEADER_SIZE ? { start: 0, end: HEADER_SIZE - 1 } : undefined
  for await (const chunk of await store.get(key, range, signal)) chunks.push(chunk)
  return parseHeader(store, key, Buffer.concat(chunks))
}

/** A file of the backup as an input of a merge; its header is held against its name before a page is read. */
export function openInput(store: ObjectStore, file: BackupFile, signal?: AbortSignal): MergeInput {
  // A merge has one request for each of its inputs, and all of them end with the same signal.
  if (signal !== undefined) setMaxListeners(0, signal)
  return {
    name: file.key,
    open: async () => agreeing(store, file, await store.get(file.key, undefined, signal)),
  }
}

/** Runs what reads these files; an LTXError becomes a CorruptObjectError of the one that it is about. */
export async function naming<T>(store: ObjectStore, files: readonly BackupFile[], run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw error instanceof LTXError ? corruption(store, files, error) : error
  }
}

/** As `naming`, for a stream. */
export async function* namingStream(
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

/** A merge names the input in the message and has what the decoder said as the cause. */
function corruption(store: ObjectStore, files: readonly BackupFile[], error: LTXError): CorruptObjectError {
  const named = files.find(({ key }) => error.message.includes(key)) ?? files.at(-1)
  const problem = error.cause instanceof LTXError ? error.cause.message : error.message
  return new CorruptObjectError(store.url, named?.key ?? '(unknown)', problem, { cause: error })
}

async function* agreeing(
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

/** Names plan, headers merge: where they disagree, a restore would be of something else than was asked for. */
function assertAgrees(store: ObjectStore, file: BackupFile, header: Header): void {
  if (header.minTXID === file.min && header.maxTXID === file.max) return
  const problem = `its header says transactions ${formatTXID(header.minTXID)} to ${formatTXID(header.maxTXID)} (at byte 16), not those of its name`
  throw new CorruptObjectError(store.url, file.key, problem)
}

function parseHeader(store: ObjectStore, key: string, bytes: Uint8Array): Header {
  try {
    return unmarshalHeader(bytes)
  } catch (error) {
    throw error instanceof LTXError ? new CorruptObjectError(store.url, key, error.message, { cause: error }) : error
  }
}
