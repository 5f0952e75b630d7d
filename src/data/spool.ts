import pLimit from 'p-limit'
import { assertDiskSpace } from '../util/disk-space.ts'
import { LtxdError } from '../util/errors.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import { create } from '../util/private-files.ts'

/** What waits to be applied has as many bytes as it may have. */
export class SpoolFullError extends LtxdError {
  constructor(announcedBytes: number, limitBytes: number) {
    super(
      'SPOOL_FULL',
      `a transfer of ${announcedBytes} bytes waits until others are applied: stream.spool-size is ${limitBytes}`,
    )
  }
}

/**
 * LTX files on their way from the network to the local client, which removes each after it has applied it. The next
 * start removes files that a crash left.
 */
export class Spool {
  readonly #files: FilesBeneath
  readonly #dir: string
  readonly #limitBytes: number
  #count = 0
  /** Announced for files that are being written, and not there yet: several arrive at once. */
  #pendingBytes = 0
  /** The files that are being written, and their announced sizes. */
  readonly #arriving = new Map<string, number>()
  readonly #admissions = pLimit(1)

  constructor(files: FilesBeneath, parent: string, limitBytes = Infinity) {
    this.#files = files
    this.#dir = `${parent}/spool`
    this.#limitBytes = limitBytes
    this.clear()
  }

  /**
   * Writes a stream to a file, and removes the file if the stream fails. Throws DiskSpaceError before it reads when the
   * disk has no room for as many bytes as were announced, 0 where none were, beside the other files that arrive, and
   * SpoolFullError when they would be more than the limit. One alone is never too large, nor is one of unknown size.
   */
  async write(bytes: AsyncIterable<Uint8Array>, announcedBytes = 0): Promise<{ file: string; sizeBytes: number }> {
    const file = `${this.#dir}/${this.#count++}.ltx`
    this.#files.makeDirectory(this.#dir)
    await this.#admissions(async () => {
      if (announcedBytes > 0) this.#assertRoom(announcedBytes)
      await assertDiskSpace(
        'what arrives from the primary',
        this.#files.at(this.#dir),
        announcedBytes + this.#pendingBytes,
      )
      this.#pendingBytes += announcedBytes
      this.#arriving.set(file, announcedBytes)
    })
    let sizeBytes = 0
    try {
      const handle = await create(this.#files.at(file), 'wx', this.#files.modes.file)
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
      this.#files.remove(file)
      throw error
    } finally {
      this.#arriving.delete(file)
      this.#pendingBytes -= Math.max(0, announcedBytes - sizeBytes)
    }
  }

  #assertRoom(announcedBytes: number): void {
    if (this.#limitBytes === Infinity) return
    const usedBytes = this.#usedBytes()
    if (usedBytes > 0 && usedBytes + announcedBytes > this.#limitBytes) {
      throw new SpoolFullError(announcedBytes, this.#limitBytes)
    }
  }

  /** What arrives counts as a whole. The local client removes what it has applied. */
  #usedBytes(): number {
    let sum = 0
    for (const sizeBytes of this.#arriving.values()) sum += sizeBytes
    for (const name of this.#files.list(this.#dir)) {
      const file = `${this.#dir}/${name}`
      if (!this.#arriving.has(file)) sum += this.#files.status(file)?.size ?? 0
    }
    return sum
  }

  /** What the local client does not remove, because it did not get it, or did not apply it. */
  remove(file: string): void {
    this.#files.remove(file)
  }

  clear(): void {
    this.#files.removeTree(this.#dir)
  }
}

/** How many of the announced bytes lie between two offsets of the file. */
function pendingOf(announcedBytes: number, from: number, to: number): number {
  return Math.min(announcedBytes, to) - Math.min(announcedBytes, from)
}
