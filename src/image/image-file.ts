import { type FileHandle, open } from 'node:fs/promises'
import type { LiveDatabase, LiveImage, LiveImageOptions } from './live-image.ts'
import { withLiveImage } from './live-image.ts'

/** A live image as a complete file: its length is known, and its pages have the position's checksum. */
export interface ImageFile extends Omit<LiveImage, 'bytes'> {
  readonly path: string
  /** Of the LTX file. */
  readonly sizeBytes: number
}

/** Writes an image to the new file `path`. Returns undefined when there is no database. Throws SnapshotError. */
export function writeImageFile(
  database: LiveDatabase,
  options: LiveImageOptions,
  path: string,
): Promise<ImageFile | undefined> {
  return withLiveImage(database, options, async (image) => {
    const { position, pageSize, commit, timestampMs, preApplyChecksum } = image
    const file = await open(path, 'wx', 0o600)
    try {
      const sizeBytes = await writeAll(file, image.bytes())
      return { position, pageSize, commit, timestampMs, preApplyChecksum, path, sizeBytes }
    } finally {
      await file.close()
    }
  })
}

async function writeAll(file: FileHandle, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  let sizeBytes = 0
  for await (const chunk of bytes) {
    await file.writeFile(chunk)
    sizeBytes += chunk.length
  }
  return sizeBytes
}
