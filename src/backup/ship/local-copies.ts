import { createReadStream } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeTemporaryDirectory, type TemporaryDirectory } from '../../image/spill.ts'

export interface CopyLimits {
  /** All copies together. */
  readonly allBytes: number
  readonly eachBytes: number
}

const LIMITS: CopyLimits = { allBytes: 256 * 1024 * 1024, eachBytes: 64 * 1024 * 1024 }
const READ_CHUNK_BYTES = 64 * 1024

/**
 * Copies of objects that this node has put, on its disk, until they are compacted. They are best effort: where one
 * cannot be written or read, or would be too large, there is none. A restart loses all of them.
 */
export class LocalCopies {
  readonly #parent: string
  readonly #limits: CopyLimits
  #directory: Promise<TemporaryDirectory> | undefined
  /** By key. */
  readonly #copies = new Map<string, { readonly path: string; readonly sizeBytes: number }>()
  #usedBytes = 0
  #count = 0

  constructor(parent: string, limits: CopyLimits = LIMITS) {
    this.#parent = parent
    this.#limits = limits
  }

  has(key: string): boolean {
    return this.#copies.has(key)
  }

  /** A copy of an object that is about to be put. It counts once `complete` is called. */
  begin(key: string): CopyInProgress {
    const path = async () => {
      this.#directory ??= makeTemporaryDirectory(this.#parent)
      return join((await this.#directory).path, String(this.#count++))
    }
    const reserve = (bytes: number, sizeBytes: number) => {
      if (sizeBytes > this.#limits.eachBytes || this.#usedBytes + bytes > this.#limits.allBytes) return false
      this.#usedBytes += bytes
      return true
    }
    const ended = (place: string, sizeBytes: number, isComplete: boolean) => {
      if (isComplete) {
        this.drop(key)
        this.#copies.set(key, { path: place, sizeBytes })
      } else {
        this.#usedBytes -= sizeBytes
      }
    }
    return new CopyInProgress(path, reserve, ended)
  }

  /** The copy's bytes. Its first failure drops it. */
  async *read(key: string): AsyncIterable<Uint8Array> {
    const copy = this.#copies.get(key)
    if (copy === undefined) throw new Error(`there is no copy of ${key}`)
    try {
      yield* createReadStream(copy.path, { highWaterMark: READ_CHUNK_BYTES }) as AsyncIterable<Uint8Array>
    } catch (error) {
      this.drop(key)
      throw error
    }
  }

  /** Returns whether there was one. */
  drop(key: string): boolean {
    const copy = this.#copies.get(key)
    if (copy === undefined) return false
    this.#copies.delete(key)
    this.#usedBytes -= copy.sizeBytes
    // A stream that is reading it goes on.
    void rm(copy.path, { force: true }).catch(() => undefined)
    return true
  }

  async close(): Promise<void> {
    this.#copies.clear()
    const directory = await this.#directory?.catch(() => undefined)
    await directory?.remove().catch(() => undefined)
  }
}

/** Its calls never fail: after a failure there is no copy. */
export class CopyInProgress {
  readonly #newPath: () => Promise<string>
  readonly #reserve: (bytes: number, sizeBytes: number) => boolean
  readonly #ended: (path: string, sizeBytes: number, isComplete: boolean) => void
  #path = ''
  #handle: FileHandle | undefined
  #sizeBytes = 0
  #failed = false

  constructor(
    newPath: () => Promise<string>,
    reserve: (bytes: number, sizeBytes: number) => boolean,
    ended: (path: string, sizeBytes: number, isComplete: boolean) => void,
  ) {
    this.#newPath = newPath
    this.#reserve = reserve
    this.#ended = ended
  }

  async add(chunk: Uint8Array): Promise<void> {
    if (this.#failed) return
    if (!this.#reserve(chunk.length, this.#sizeBytes + chunk.length)) {
      await this.discard()
      return
    }
    this.#sizeBytes += chunk.length
    try {
      if (this.#handle === undefined) {
        this.#path = await this.#newPath()
        this.#handle = await open(this.#path, 'wx', 0o600)
      }
      await this.#handle.appendFile(chunk)
    } catch {
      await this.discard()
    }
  }

  async complete(): Promise<void> {
    if (this.#failed || this.#handle === undefined) return
    await this.#handle.close().catch(() => undefined)
    this.#ended(this.#path, this.#sizeBytes, true)
  }

  async discard(): Promise<void> {
    if (this.#failed) return
    this.#failed = true
    this.#ended(this.#path, this.#sizeBytes, false)
    if (this.#handle === undefined) return
    await this.#handle.close().catch(() => undefined)
    await rm(this.#path, { force: true }).catch(() => undefined)
  }
}
