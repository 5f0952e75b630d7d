import fs from 'node:fs'
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

  constructor(parent: string, modes: Modes) {
    this.#dir = `${parent}/spool`
    this.#modes = modes
    this.clear()
  }

  /**
   * Writes a stream to a file, and removes the file if the stream fails. Throws DiskSpaceError before it reads when the
   * disk has no room for as many bytes as were announced, 0 where none were.
   */
  async write(bytes: AsyncIterable<Uint8Array>, announcedBytes = 0): Promise<{ file: string; sizeBytes: number }> {
    const file = `${this.#dir}/${this.#count++}.ltx`
    makeDirectorySync(this.#dir, this.#modes.directory)
    await assertDiskSpace('an LTX file from the primary', this.#dir, announcedBytes)
    const handle = await create(file, 'wx', this.#modes.file)
    let sizeBytes = 0
    try {
      for await (const chunk of bytes) {
        await handle.writeFile(chunk)
        sizeBytes += chunk.length
      }
      return { file, sizeBytes }
    } catch (error) {
      fs.rmSync(file, { force: true })
      throw error
    } finally {
      await handle.close()
    }
  }

  clear(): void {
    fs.rmSync(this.#dir, { recursive: true, force: true })
  }
}
