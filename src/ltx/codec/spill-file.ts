/** Needs Node.js, so mod.ts does not export it. */
import { closeSync, readSync, writeSync } from 'node:fs'
import type { IndexSpill } from './frame-list.ts'

const CHUNK_BYTES = 64 * 1024

/** An index spill in a file without a name, so that a crash leaves nothing. Owns its descriptor. */
export function openSpillFile(fd: number): IndexSpill {
  let sizeBytes = 0
  return {
    append(bytes) {
      for (let done = 0; done < bytes.length;) {
        const written = writeSync(fd, bytes, done, bytes.length - done, sizeBytes)
        done += written
        sizeBytes += written
      }
    },
    *chunks() {
      const chunk = new Uint8Array(CHUNK_BYTES)
      for (let at = 0; at < sizeBytes;) {
        const read = readSync(fd, chunk, 0, CHUNK_BYTES, at)
        if (read === 0) {
          throw new Error(`the temporary page index has ${at} bytes: expected ${sizeBytes}`)
        }
        yield chunk.subarray(0, read)
        at += read
      }
    },
    close: () => closeSync(fd),
  }
}
