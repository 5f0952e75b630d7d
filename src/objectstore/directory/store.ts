import { randomBytes } from 'node:crypto'
import { createReadStream, type Stats } from 'node:fs'
import { link, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { makeDirectories, removeFile, statFile, syncDirectory } from '../../util/directories.ts'
import { applyModesMeanwhile, describeChange } from '../../util/directory-modes.ts'
import { errorCode } from '../../util/errors.ts'
import { create, type Modes, modesOf, PRIVATE } from '../../util/private-files.ts'
import { boundedTime } from '../../util/time.ts'
import {
  InvalidKeyError,
  InvalidRangeError,
  ObjectExistsError,
  ObjectNotFoundError,
  StoreUnavailableError,
} from '../errors.ts'
import { checkKey, checkPrefix } from '../keys.ts'
import type { ByteRange, Metadata, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore.ts'
import { clockOf } from './clock.ts'
import { withFileLock } from './file-lock.ts'
import { type Fingerprint, fingerprint, formatSidecar, readSidecar, SIDECAR_SUFFIX } from './sidecar.ts'
import { describe, isHidden, LOCK_NAME, TEMPORARY_PREFIX, walk } from './walk.ts'

const READ_CHUNK_BYTES = 512 * 1024
/** A temporary file that was not written for this long belongs to a dead process. */
const STALE_TEMPORARY_MS = 24 * 60 * 60 * 1000

export interface DirectoryOptions {
  /** Default: those of the directory, if only its user and group can read it; or else only its user can. */
  readonly modes?: Modes
  /** The directory and what is in it had other modes. */
  readonly changed?: (message: string) => void
  readonly now?: () => number
}

/**
 * Objects as files below a directory, in the layout of Litestream's `file` replica. The key is the path, the
 * modification time is the object's time, and a sidecar holds the metadata (sidecar.ts). A name appears by link(2) or
 * rename(2) once all of its bytes, and its sidecar, are durable. Symbolic links inside the directory are not
 * followed.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string
  readonly layout = 'directory'
  readonly #root: string
  readonly #now: () => number
  readonly #swept = new Set<string>()
  readonly #options: DirectoryOptions
  #modes: Promise<Modes> | undefined

  constructor(root: string, options: DirectoryOptions = {}) {
    this.#root = root
    this.#options = options
    this.#now = options.now ?? Date.now
    this.url = pathToFileURL(root).href
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    const path = this.#path(key)
    const directory = dirname(path)
    const temporary = join(directory, TEMPORARY_PREFIX + randomBytes(8).toString('hex'))
    const { file: mode } = await this.#effect(`create the directory of object ${key}`, async () => {
      const modes = await this.#prepared()
      await makeDirectories(directory, modes.directory)
      await this.#sweep(directory)
      return modes
    })
    try {
      const print = await this.#write(key, temporary, body, mode, options)
      await this.#effect(`write object ${key}`, () =>
        withFileLock(join(directory, LOCK_NAME), mode, () => this.#publish(key, temporary, print, mode, options)),
      )
    } finally {
      await unlink(temporary).catch(() => undefined)
    }
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const path = this.#path(key)
    const sizeBytes = await this.#size(key, path)
    if (sizeBytes === undefined) throw new ObjectNotFoundError(this.url, key)
    const { start, end } = range ?? { start: 0 }
    const outside = !Number.isSafeInteger(start) || start < 0 || start >= sizeBytes || (end ?? start) < start
    if (range !== undefined && outside) throw new InvalidRangeError(this.url, key, start, end, sizeBytes)
    return this.#read(key, path, start, end, signal)
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    const path = this.#path(key)
    return this.#effect(`look up object ${key}`, async () => {
      const info = await statFile(path)
      if (info === undefined || !info.isFile()) return undefined
      const metadata = await readSidecar(path)
      return { key, ...describe(info), metadata }
    })
  }

  async *list(prefix: string, startAfter?: string): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix)
    try {
      yield* walk(this.#root, prefix, startAfter)
    } catch (error) {
      throw isSystemError(error) ? new StoreUnavailableError(this.url, 'list objects', error) : error
    }
  }

  async delete(keys: readonly string[]): Promise<void> {
    const directories = new Set<string>()
    for (const key of keys) {
      const path = this.#path(key)
      await this.#effect(`delete object ${key}`, async () => {
        // Remove the object first: a sidecar without its object is harmless; an object without its sidecar has lost
        // its checksums.
        const removed = [await removeFile(path), await removeFile(path + SIDECAR_SUFFIX)]
        if (removed.includes(true)) directories.add(dirname(path))
      })
    }
    for (const directory of directories) {
      await this.#effect(`make deletions in ${directory} durable`, () => syncDirectory(directory))
    }
  }

  async clockMs(): Promise<number | undefined> {
    if (this.#options.now !== undefined) return this.#now()
    if ((await statFile(this.#root)) === undefined) return undefined
    return this.#effect('read its clock', async () => clockOf(this.#root, (await this.#prepared()).file))
  }

  /** Nothing stays open between calls. */
  async close(): Promise<void> {}

  #path(key: string): string {
    checkKey(key)
    if (isHidden(basename(key))) throw new InvalidKeyError(key, 'has a name that is reserved in a directory')
    return join(this.#root, key)
  }

  async #size(key: string, path: string): Promise<number | undefined> {
    const info = await this.#effect(`look up object ${key}`, () => statFile(path))
    return info?.isFile() === true ? info.size : undefined
  }

  async *#read(
    key: string,
    path: string,
    start: number,
    end: number | undefined,
    signal: AbortSignal | undefined,
  ): AsyncIterable<Uint8Array> {
    const stream = createReadStream(path, {
      start,
      ...(end === undefined ? {} : { end }),
      highWaterMark: READ_CHUNK_BYTES,
    })
    try {
      for await (const chunk of stream) {
        signal?.throwIfAborted()
        yield chunk as Buffer
      }
    } catch (error) {
      if (errorCode(error) === 'ENOENT') throw new ObjectNotFoundError(this.url, key, { cause: error })
      signal?.throwIfAborted()
      throw new StoreUnavailableError(this.url, `read object ${key}`, error)
    }
  }

  async #write(
    key: string,
    temporary: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    mode: number,
    options: PutOptions,
  ): Promise<Fingerprint> {
    const handle = await this.#effect(`create object ${key}`, () => create(temporary, 'wx+', mode))
    try {
      // Errors of the body itself reach the caller unchanged.
      for await (const chunk of body instanceof Uint8Array ? [body] : body) {
        options.signal?.throwIfAborted()
        await this.#effect(`write object ${key}`, () => handle.appendFile(chunk))
      }
      return await this.#effect(`write object ${key}`, async () => {
        if (options.timestampMs !== undefined) {
          // Add half a microsecond: the conversion through seconds as a double must not end up before the time,
          // because a point-in-time restore selects strictly older objects.
          const seconds = (boundedTime(options.timestampMs) + 0.0005) / 1000
          await handle.utimes(seconds, seconds)
        }
        await handle.sync()
        return fingerprint(handle)
      })
    } finally {
      await handle.close()
    }
  }

  /**
   * Makes the finished file visible. Runs under the directory's lock, so that object and sidecar of one put stay
   * together.
   */
  async #publish(key: string, temporary: string, print: Fingerprint, mode: number, options: PutOptions): Promise<void> {
    const path = join(this.#root, key)
    options.signal?.throwIfAborted()
    const exclusive = options.ifNoneMatch === '*'
    if (exclusive && (await statFile(path)) !== undefined) throw new ObjectExistsError(this.url, key)
    options.beforeVisible?.()
    await this.#putSidecar(path, temporary, print, mode, options.metadata)
    if (exclusive) {
      options.beforeVisible?.()
      // Use link(2): a program that ignores the lock (Litestream) may have created the file in between.
      await link(temporary, path).catch((error: unknown) => {
        throw errorCode(error) === 'EEXIST' ? new ObjectExistsError(this.url, key, { cause: error }) : error
      })
    } else {
      await rename(temporary, path)
    }
    await syncDirectory(dirname(path))
  }

  async #putSidecar(
    path: string,
    temporary: string,
    print: Fingerprint,
    mode: number,
    metadata: Metadata = {},
  ): Promise<void> {
    const sidecar = path + SIDECAR_SUFFIX
    if (Object.keys(metadata).length === 0) {
      await removeFile(sidecar)
      return
    }
    const unfinished = temporary + SIDECAR_SUFFIX
    try {
      const handle = await create(unfinished, 'wx', mode)
      try {
        await handle.writeFile(formatSidecar(metadata, print))
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(unfinished, sidecar)
    } finally {
      await unlink(unfinished).catch(() => undefined)
    }
    await syncDirectory(dirname(path))
  }

  /** Before the first write: the root exists, and it and what is in it have their modes, which are the result. */
  #prepared(): Promise<Modes> {
    return (this.#modes ??= this.#prepare().catch((error: unknown) => {
      this.#modes = undefined
      throw error
    }))
  }

  async #prepare(): Promise<Modes> {
    const root = this.#root
    const existing = await statFile(root)
    const modes = this.#options.modes ?? modesLike(existing)
    if (existing === undefined) {
      await makeDirectories(dirname(root))
      await makeDirectories(root, modes.directory)
    } else if (existing.isDirectory()) {
      const changed = await applyModesMeanwhile(root, modes)
      if (changed !== undefined) {
        this.#options.changed?.(describeChange(`the backup ${root}`, changed, modes, 'backup.mode'))
      }
    }
    return modes
  }

  /** Removes temporary files of dead processes, once for each directory. */
  async #sweep(directory: string): Promise<void> {
    if (this.#swept.has(directory)) return
    this.#swept.add(directory)
    for (const name of await readdir(directory)) {
      if (!name.startsWith(TEMPORARY_PREFIX)) continue
      const info = await statFile(join(directory, name))
      if (info !== undefined && info.ctimeMs < this.#now() - STALE_TEMPORARY_MS) await removeFile(join(directory, name))
    }
  }

  /** Runs a file operation. Turns a system error into a StoreUnavailableError that names the action. */
  async #effect<T>(action: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      throw isSystemError(error) ? new StoreUnavailableError(this.url, action, error) : error
    }
  }
}

/** Without a configuration, a backup that a group can read stays so. One that everybody can read was made by 0.1. */
function modesLike(root: Stats | undefined): Modes {
  return root === undefined || (root.mode & 0o007) !== 0 ? PRIVATE : modesOf(root.mode & 0o777)
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}
