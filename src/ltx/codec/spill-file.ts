/** Needs Node.js, so mod.ts does not export it. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { IndexSpill } from './frame-list.ts'

const CHUNK_BYTES = 64 * 1024

/** An index spill in an unnamed file in `directory`: a crash leaves no file behind. */
export function openSpillFile(directory: string): IndexSpill {
  const temporary = mkdtempSync(join(directory, '.ltx-index-'))
  let fd: number
  try {
    fd = openSync(join(temporary, 'index'), 'wx+', 0o600)
  } finally {
    rmSync(temporary, { recursive: true })
  }
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
          throw new Error(`the temporary page index in ${directory} has ${at} bytes: expected ${sizeBytes}`)
        }
        yield chunk.subarray(0, read)
        at += read
      }
    },
    close: () => closeSync(fd),
  }
}
