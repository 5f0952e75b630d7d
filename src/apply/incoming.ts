import type { FileHandle } from 'node:fs/promises'
import { openUnnamedHandle } from '../util/unnamed-file.ts'
import { bytesInMemory, bytesOfFile, type LtxBytes } from './transaction.ts'

/** An LTX file that was received whole, in memory or in a file without a name. */
export interface Incoming {
  readonly bytes: LtxBytes
  /** Closes the file, if there is one. */
  dispose(): Promise<void>
}

/** A larger stream goes to a file. */
const MEMORY_BYTES = 16 << 20

/**
 * Receives a whole stream before any lock is taken, so that no reader waits for the network. A stream that exceeds
 * MEMORY_BYTES goes to a file without a name, in the file system of `directory`.
 */
export async function receive(stream: AsyncIterable<Uint8Array>, directory: string): Promise<Incoming> {
  const chunks: Uint8Array[] = []
  let size = 0
  let handle: FileHandle | undefined
  try {
    for await (const chunk of stream) {
      size += chunk.length
      if (size > MEMORY_BYTES && handle === undefined) {
        handle = await openUnnamedHandle(directory)
        for (const earlier of chunks) await handle.writeFile(earlier)
        chunks.length = 0
      }
      if (handle === undefined) chunks.push(chunk.slice())
      else await handle.writeFile(chunk)
    }
  } catch (error) {
    await handle?.close()
    throw error
  }
  if (handle === undefined) return { bytes: bytesInMemory(Buffer.concat(chunks)), dispose: async () => undefined }
  const file = handle
  return { bytes: bytesOfFile(`/proc/self/fd/${file.fd}`), dispose: () => file.close() }
}
