import fs from 'node:fs'
import pLimit from 'p-limit'
import { assertDiskSpace } from '../util/disk-space.ts'
import { LtxdError } from '../util/errors.ts'
import { create, makeDirectorySync, type Modes } from '../util/private-files.ts'

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
  readonly #dir: string
  readonly #modes: Modes
  readonly #limitBytes: number
  #count = 0
  /** Announced for files that are being written, and not there yet: several arrive at once. */
  #pendingBytes = 0
  /** The files that are being written, and their announced sizes. */
  readonly #arriving = new Map<string, number>()
  readonly #admissions = pLimit(1)

  constructor(parent: string, modes: Modes, limitBytes = Infinity) {
    this.#dir = `${parent}/spool`
    this.#modes = modes
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
    makeDirectorySync(this.#dir, this.#modes.directory)
    await this.#admissions(async () => {
      if (announcedBytes > 0) this.#assertRoom(announcedBytes)
      await assertDiskSpace('what arrives from the primary', this.#dir, announcedBytes + this.#pendingBytes)
      this.#pendingBytes += announcedBytes
      this.#arriving.set(file, announcedBytes)
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
    for (const name of fs.readdirSync(this.#dir)) {
      const file = `${this.#dir}/${name}`
      if (!this.#arriving.has(file)) sum += fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
    }
    return sum
  }

  clear(): void {
    fs.rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** How many of the announced bytes lie between two offsets of the file. */
function pendingOf(announcedBytes: number, from: number, to: number): number {
  return Math.min(announcedBytes, to) - Math.min(announcedBytes, from)
}
