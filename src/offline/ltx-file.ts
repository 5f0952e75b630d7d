import { stat } from 'node:fs/promises'
import { LTXError } from '../ltx/format/errors.ts'
import { type Header, HEADER_SIZE, unmarshalHeader } from '../ltx/format/header.ts'
import { fileInputs } from '../ltx/merge/file-inputs.ts'
import type { MergeInput } from '../ltx/merge/merge-input.ts'
import { UnreadableFileError } from './errors.ts'
import { isOwnPipe, NotFileError, openRegular, readInput } from './input.ts'

const EXPECTED = 'an LTX file'

/** Progress over several files: how many of their bytes have been read. */
export type Progress = (readBytes: number, totalBytes: number) => void

export interface ReadingOptions {
  readonly signal?: AbortSignal
  readonly progress?: Progress
}

/** An LTX file, by its path. */
export interface LTXFile extends MergeInput {
  readonly name: string
  readonly sizeBytes: number
  open(): AsyncIterable<Uint8Array>
}

/**
 * Prepares files that are read once each: any number, in bounded memory and with a bounded number of descriptors. A
 * chunk is valid until the next one. Throws UnreadableFileError for a missing file.
 */
export async function findFiles(paths: readonly string[], options: ReadingOptions = {}): Promise<LTXFile[]> {
  let totalBytes = 0
  let readBytes = 0
  const count = (bytes: number) => options.progress?.((readBytes += bytes), totalBytes)
  const found: { name: string; sizeBytes: number; isRegular: boolean }[] = []
  for (const name of paths) {
    const info = await describe(name)
    totalBytes += info.sizeBytes
    found.push({ name, ...info })
  }
  const inputs = fileInputs(found.flatMap(({ name, isRegular }) => (isRegular ? [name] : [])))[Symbol.iterator]()
  return found.map(({ name, sizeBytes, isRegular }) => {
    // A pipe has neither a size nor offsets.
    if (!isRegular) return { name, sizeBytes, open: () => readChunks(name, count, options.signal) }
    const input = inputs.next().value!
    return { name, sizeBytes, open: () => readMergeInput(name, input, count, options.signal) }
  })
}

async function* readMergeInput(
  path: string,
  input: MergeInput,
  count: (bytes: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of await input.open()) {
      signal?.throwIfAborted()
      yield chunk
      count(chunk.length)
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** Throws UnreadableFileError. */
export async function* readChunks(
  path: string,
  count?: (bytes: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of readInput(path, signal)) {
      yield chunk
      count?.(chunk.length)
    }
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : unreadable(path, error)
  }
}

/** undefined when the header is invalid. */
export async function readHeader(path: string): Promise<Header | undefined> {
  try {
    const handle = await openRegular(path)
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER_SIZE), 0, HEADER_SIZE, 0)
      return unmarshalHeader(buffer.subarray(0, bytesRead))
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof LTXError) return undefined
    throw unreadable(path, error)
  }
}

async function describe(path: string): Promise<{ sizeBytes: number; isRegular: boolean }> {
  const found = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  if (found.isDirectory())
    throw new UnreadableFileError(path, EXPECTED, Object.assign(new Error('is a directory'), { code: 'EISDIR' }))
  if (!found.isFile() && !(found.isFIFO() && (await isOwnPipe(path)))) throw unreadable(path, new NotFileError(found))
  return { sizeBytes: found.size, isRegular: found.isFile() }
}

/** Wraps system errors. Other errors are not about reading the file and stay unchanged. */
function unreadable(path: string, error: unknown): unknown {
  return error instanceof Error && 'syscall' in error ? new UnreadableFileError(path, EXPECTED, error) : error
}
