import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { link, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { linkStatus, removeFile, statFile, syncDirectory } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import { create, lockMode, type Modes } from '../../util/private-files.ts'
import { boundedTime } from '../../util/time.ts'
import { itemsUnlessAborted, unlessAborted } from '../../util/waits.ts'
import {
  InvalidKeyError,
  InvalidRangeError,
  MetadataUnreadableError,
  ObjectExistsError,
  ObjectNotFoundError,
  StoreUnavailableError,
} from '../errors.ts'
import { checkKey, checkPrefix } from '../keys.ts'
import type { ByteRange, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore.ts'
import { openRegular, within, withRoot } from './beneath.ts'
import { clockOf } from './clock.ts'
import { withFileLock } from './file-lock.ts'
import { Identity, type Memory } from './identity.ts'
import { isNoFile, isObstacle, MovedError } from './obstacles.ts'
import { prepare, type PrepareOptions } from './prepare.ts'
import { type Fingerprint, fingerprint, formatSidecar, putSidecar, readSidecar, SIDECAR_SUFFIX } from './sidecar.ts'
import { describe, isHidden, LOCK_NAME, TEMPORARY_PREFIX, walk } from './walk.ts'

const READ_CHUNK_BYTES = 512 * 1024
/** A temporary file that was not written for this long belongs to a dead process. */
const STALE_TEMPORARY_MS = 24 * 60 * 60 * 1000

export interface DirectoryOptions extends PrepareOptions {
  readonly now?: () => number
  /** Nothing is read from, or put into, another directory than the one that is remembered there. */
  readonly memory?: Memory
}

/**
 * Objects as files below a directory, in the layout of Litestream's `file` replica. The key is the path, the
 * modification time is the object's time, and a sidecar holds the metadata (sidecar.ts). A name appears by link(2) or
 * rename(2) once all of its bytes, and its sidecar, are durable. Symbolic links inside the directory are not
 * followed. A disk may keep a file operation for ever: then the call ends with its signal, and the operation by itself.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string
  readonly layout = 'directory'
  readonly #root: string
  readonly #now: () => number
  readonly #swept = new Set<string>()
  readonly #options: DirectoryOptions
  readonly #identity: Identity | undefined
  #modes: Promise<Modes> | undefined

  constructor(root: string, options: DirectoryOptions = {}) {
    this.#root = root
    this.#options = options
    this.#now = options.now ?? Date.now
    this.url = pathToFileURL(root).href
    this.#identity = options.memory && new Identity(root, this.url, options.memory)
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    this.#check(key)
    const { signal } = options
    const prepare = async () => {
      await this.#identity?.check()
      const prepared = await this.#prepared()
      await this.#identity?.establish(prepared)
      return prepared
    }
    const modes = await this.#effect('prepare the directory', signal, prepare)
    const make = { directoryMode: modes.directory, signal }
    await this.#within(`create the directory of object ${key}`, key, make, async (path) => {
      await this.#effect(`clear the directory of object ${key}`, signal, () => this.#sweep(dirname(path), dirname(key)))
      const temporary = join(dirname(path), TEMPORARY_PREFIX + randomBytes(8).toString('hex'))
      try {
        const print = await this.#write(key, temporary, body, modes.file, options)
        const lock = { path: join(dirname(path), LOCK_NAME), named: join(this.#root, dirname(key), LOCK_NAME) }
        // Its end is awaited by the caller's wait, which ends with the signal.
        await this.#effect(`write object ${key}`, undefined, async () => {
          const publish = () => this.#publish(key, path, temporary, print, modes.file, options)
          await withFileLock(lock, lockMode(modes), publish, signal)
          if (!(await this.#isHeldAt(key, path))) throw new MovedError(join(this.#root, dirname(key)))
          await this.#identity?.check()
        })
      } finally {
        await unlink(temporary).catch(() => undefined)
      }
    })
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const sizeBytes = (await this.#find(key, signal))?.size
    if (sizeBytes === undefined) throw new ObjectNotFoundError(this.url, key)
    const { start, end } = range ?? { start: 0 }
    const outside = !Number.isSafeInteger(start) || start < 0 || start >= sizeBytes || (end ?? start) < start
    if (range !== undefined && outside) throw new InvalidRangeError(this.url, key, start, end, sizeBytes)
    return this.#read(key, start, end, signal)
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    this.#check(key)
    return this.#within(`look up object ${key}`, key, { signal }, async (path) => {
      const info = await linkStatus(path)
      if (info === undefined || !info.isFile()) return undefined
      const metadata = await readSidecar(path).catch((error: unknown) => {
        throw isNoFile(error) ? new MetadataUnreadableError(this.url, key, error) : error
      })
      return { key, ...describe(info), metadata }
    })
  }

  async *list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix)
    try {
      await unlessAborted(signal, this.#identity?.check() ?? Promise.resolve(false))
      yield* itemsUnlessAborted(signal, walk(this.#root, prefix, startAfter))
    } catch (error) {
      throw isObstacle(error) ? new StoreUnavailableError(this.url, 'list objects', error) : error
    }
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    const directories = new Map<string, string>()
    for (const key of keys) {
      this.#check(key)
      await this.#within(`delete object ${key}`, key, { signal }, async (path) => {
        // Remove the object first: a sidecar without its object is harmless; an object without its sidecar has lost
        // its checksums.
        const removed = [await removeFile(path), await removeFile(path + SIDECAR_SUFFIX)]
        if (removed.includes(true)) directories.set(dirname(key), key)
      })
    }
    for (const [directory, key] of directories) {
      await this.#within(`make deletions in ${directory} durable`, key, { signal }, (path) =>
        syncDirectory(dirname(path)),
      )
    }
  }

  async clockMs(signal?: AbortSignal): Promise<number | undefined> {
    signal?.throwIfAborted()
    if (this.#options.now !== undefined) return this.#now()
    return this.#effect('read its clock', signal, () => withRoot(this.#root, clockOf))
  }

  /** Nothing stays open between calls. */
  async close(): Promise<void> {}

  #check(key: string): void {
    checkKey(key)
    if (isHidden(basename(key))) throw new InvalidKeyError(key, 'has a name that is reserved in a directory')
  }

  /** Whether the directory of `path`, which is held, still is the one of the object. */
  async #isHeldAt(key: string, path: string): Promise<boolean> {
    const held = await statFile(dirname(path))
    const there = await within(this.#root, key, (now) => statFile(dirname(now)))
    return held !== undefined && held.ino === there?.ino && held.dev === there.dev
  }

  /** Runs `use` as `within` does. */
  #within<T>(
    action: string,
    key: string,
    { directoryMode, signal }: { readonly directoryMode?: number; readonly signal: AbortSignal | undefined },
    use: (path: string) => Promise<T>,
  ): Promise<T | undefined> {
    return this.#effect(action, signal, async () => {
      await this.#identity?.check()
      signal?.throwIfAborted()
      return within(this.#root, key, use, directoryMode)
    })
  }

  async #find(key: string, signal: AbortSignal | undefined): Promise<Stats | undefined> {
    this.#check(key)
    const info = await this.#within(`look up object ${key}`, key, { signal }, linkStatus)
    return info?.isFile() === true ? info : undefined
  }

  async *#read(
    key: string,
    start: number,
    end: number | undefined,
    signal: AbortSignal | undefined,
  ): AsyncIterable<Uint8Array> {
    try {
      const handle = await unlessAborted(signal, within(this.#root, key, openRegular))
      if (handle === undefined) throw new ObjectNotFoundError(this.url, key)
      // Closes the file at its end.
      const stream = handle.createReadStream({
        start,
        ...(end === undefined ? {} : { end }),
        highWaterMark: READ_CHUNK_BYTES,
      })
      yield* itemsUnlessAborted(signal, stream as AsyncIterable<Buffer>)
    } catch (error) {
      if (error instanceof ObjectNotFoundError) throw error
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
    const handle = await this.#effect(`create object ${key}`, undefined, () => create(temporary, 'wx+', mode))
    try {
      // Errors of the body itself reach the caller unchanged.
      for await (const chunk of body instanceof Uint8Array ? [body] : body) {
        options.signal?.throwIfAborted()
        await this.#effect(`write object ${key}`, undefined, () => handle.appendFile(chunk))
      }
      return await this.#effect(`write object ${key}`, undefined, async () => {
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
  async #publish(
    key: string,
    path: string,
    temporary: string,
    print: Fingerprint,
    mode: number,
    options: PutOptions,
  ): Promise<void> {
    options.signal?.throwIfAborted()
    const exclusive = options.ifNoneMatch === '*'
    if (exclusive && (await linkStatus(path)) !== undefined) throw new ObjectExistsError(this.url, key)
    options.beforeVisible?.()
    await putSidecar(path, temporary + SIDECAR_SUFFIX, formatSidecar(options.metadata, print), mode)
    options.signal?.throwIfAborted()
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

  /** Before the first write: the root, if it exists, and what is in it have their modes, which are the result. */
  #prepared(): Promise<Modes> {
    return (this.#modes ??= prepare(this.#root, this.#options).catch((error: unknown) => {
      this.#modes = undefined
      throw error
    }))
  }

  /** Removes temporary files of dead processes, once for each directory. */
  async #sweep(directory: string, named: string): Promise<void> {
    if (this.#swept.has(named)) return
    this.#swept.add(named)
    for (const name of await readdir(directory)) {
      if (!name.startsWith(TEMPORARY_PREFIX)) continue
      const info = await linkStatus(join(directory, name))
      if (info !== undefined && info.ctimeMs < this.#now() - STALE_TEMPORARY_MS) await removeFile(join(directory, name))
    }
  }

  /**
   * Runs file operations until the signal ends the wait for them. Turns a system error, or a link, into a
   * StoreUnavailableError that names the action.
   */
  async #effect<T>(action: string, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    try {
      signal?.throwIfAborted()
      return await unlessAborted(signal, run())
    } catch (error) {
      throw isObstacle(error) ? new StoreUnavailableError(this.url, action, error) : error
    }
  }
}
