import { rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { bytesInMemory, bytesOfFile, type LtxBytes } from './transaction.ts'

/** An LTX file that has arrived whole, from a stream that may have been slow. */
export interface Incoming {
  readonly bytes: LtxBytes
  /** Removes what it took. */
  dispose(): void
}

/** What is larger goes to a file. */
const MEMORY_BYTES = 16 << 20

/**
 * Takes a stream to its end: no lock is held, and no reader waits, while the network does. `spoolPath` is written if
 * need be.
 */
export async function receive(stream: AsyncIterable<Uint8Array>, spoolPath: string): Promise<Incoming> {
  const chunks: Uint8Array[] = []
  let size = 0
  let handle: FileHandle | undefined
  try {
    for await (const chunk of stream) {
      size += chunk.length
      if (size > MEMORY_BYTES && handle === undefined) {
        handle = await open(spoolPath, 'w')
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
