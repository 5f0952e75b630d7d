import { rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { PRIVATE } from '../util/private-files.ts'
import { bytesInMemory, bytesOfFile, type LtxBytes } from './transaction.ts'

/** An LTX file that was received whole, in memory or in a spool file. */
export interface Incoming {
  readonly bytes: LtxBytes
  /** Removes the spool file, if there is one. */
  dispose(): void
}

/** A larger stream goes to the spool file. */
const MEMORY_BYTES = 16 << 20

/**
 * Receives a whole stream before any lock is taken, so that no reader waits for the network. Writes `spoolPath` if the
 * stream exceeds MEMORY_BYTES: it must not exist.
 */
export async function receive(stream: AsyncIterable<Uint8Array>, spoolPath: string): Promise<Incoming> {
  const chunks: Uint8Array[] = []
  let size = 0
  let handle: FileHandle | undefined
  try {
    for await (const chunk of stream) {
      size += chunk.length
      if (size > MEMORY_BYTES && handle === undefined) {
        handle = await open(spoolPath, 'wx', PRIVATE.file)
        for (const earlier of chunks) await handle.writeFile(earlier)
        chunks.length = 0
      }
      if (handle === undefined) chunks.push(chunk.slice())
      else await handle.writeFile(chunk)
    }
  } catch (error) {
    if (handle !== undefined) rmSync(spoolPath, { force: true })
    throw error
  } finally {
    await handle?.close()
  }
  if (handle === undefined) return { bytes: bytesInMemory(Buffer.concat(chunks)), dispose: () => undefined }
  return { bytes: bytesOfFile(spoolPath), dispose: () => rmSync(spoolPath, { force: true }) }
}
