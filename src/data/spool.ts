import fs from 'node:fs'
import pLimit from 'p-limit'
import { assertDiskSpace } from '../util/disk-space.ts'
import { create, makeDirectorySync, type Modes } from '../util/private-files.ts'

/**
 * LTX files on their way from the network to the local client, which removes each after it has applied it. The next
 * start removes files that a crash left.
 */
export class Spool {
  readonly #dir: string
  readonly #modes: Modes
  #count = 0
  /** Announced for files that are being written, and not there yet: several arrive at once. */
  #pendingBytes = 0
  readonly #admissions = pLimit(1)

  constructor(parent: string, modes: Modes) {
    this.#dir = `${parent}/spool`
    this.#modes = modes
    this.clear()
  }

  /**
   * Writes a stream to a file, and removes the file if the stream fails. Throws DiskSpaceError before it reads when the
   * disk has no room for as many bytes as were announced, 0 where none were, beside the other files that arrive.
   */
  async write(bytes: AsyncIterable<Uint8Array>, announcedBytes = 0): Promise<{ file: string; sizeBytes: number }> {
    const file = `${this.#dir}/${this.#count++}.ltx`
    makeDirectorySync(this.#dir, this.#modes.directory)
    await this.#admissions(async () => {
      await assertDiskSpace('what arrives from the primary', this.#dir, announcedBytes + this.#pendingBytes)
      this.#pendingBytes += announcedBytes
    })
    let sizeBytes = 0
    try {
      const handle = await create(file, 'wx', this.#modes.file)
      try {
        for await (const chunk of bytes) {
          await handle.writeFile(chunk)
          this.#pendingBytes -= pendingOf(announcedBytes, sizeBytes, sizeBytes + chunk.length)
          sizeBytes += chunk.length
        }
      } finally {
        await handle.close()
      }
      return { file, sizeBytes }
    } catch (error) {
      fs.rmSync(file, { force: true })
      throw error
    } finally {
      this.#pendingBytes -= Math.max(0, announcedBytes - sizeBytes)
    }
  }

  clear(): void {
    fs.rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** How many of the announced bytes lie between two offsets of the file. */
function pendingOf(announcedBytes: number, from: number, to: number): number {
  return Math.min(announcedBytes, to) - Math.min(announcedBytes, from)
}
