import { randomBytes } from 'node:crypto'
import { closeSync, fstatSync, type Stats } from 'node:fs'
import { type FileHandle, link, lstat, open, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { errorCode, errorMessage, LtxdError } from './errors.ts'
import { nodeFiles } from './files.ts'
import { findDirectory, pathOf } from './named-directory.ts'
import { isClosed, isOwn, PRIVATE } from './private-files.ts'

/** The output path exists already. */
export class OutputExistsError extends LtxdError {
  constructor(path: string, beside?: string, advice = 'Nothing is ever overwritten: ') {
    const found =
      beside === undefined ? `${path} exists already` : `${beside} exists, and SQLite would read it as part of ${path}`
    super('OUTPUT_EXISTS', `${found}. ${advice}move it away, or choose another output`)
  }
}

/** The output path is no regular file's, or a link to such a one. */
class OutputKindError extends OutputExistsError {
  constructor(path: string, reason: string) {
    super(path)
    this.message = `cannot write ${path}: ${reason}`
  }
}

/** The output path cannot be written. */
export class OutputError extends LtxdError {
  constructor(path: string, cause: unknown) {
    super('OUTPUT_UNWRITABLE', `cannot write ${path}: ${errorMessage(cause)}`, 1, { cause })
  }
}

export interface NewFileOptions {
  /**
   * Replace an existing file, and take over the permissions of one of this user, where no other user may have put it
   * there. Without `replace`, an existing file is an error.
   */
  readonly replace?: boolean
  /** The command-line flag that sets `replace`, for the error message. */
  readonly flag?: string
  /** A part of the temporary file's name. */
  readonly label?: string
}

/**
 * A file that only its user can read. It is written under a temporary name and appears at its path when it is complete
 * and durable.
 */
export class NewFile {
  readonly path: string
  readonly handle: FileHandle
  /** An O_PATH descriptor of the directory. */
  readonly #directory: number
  readonly #temporary: string
  readonly #replace: boolean

  /** A path of the held directory, while the file is open. */
  get directory(): string {
    return `/proc/self/fd/${this.#directory}`
  }

  private constructor(path: string, directory: number, temporary: string, handle: FileHandle, replace: boolean) {
    this.path = path
    this.#directory = directory
    this.#temporary = temporary
    this.handle = handle
    this.#replace = replace
  }

  /** The directory of `path` must exist. Throws OutputExistsError, OutputError, ForeignLinkError. */
  static async create(path: string, options: NewFileOptions = {}): Promise<NewFile> {
    const directory = holdDirectory(path)
    try {
      return await NewFile.#open(path, directory, options)
    } catch (error) {
      closeSync(directory)
      throw error
    }
  }

  static async #open(path: string, directory: number, options: NewFileOptions): Promise<NewFile> {
    const { replace = false, flag, label = 'new' } = options
    const existing = await assertRegular(path, replace, at(directory, path))
    if (existing !== undefined && !replace) {
      throw new OutputExistsError(path, undefined, flag === undefined ? undefined : `Replace it with ${flag}, or `)
    }
    const temporary = `${at(directory, path)}.ltxd-${label}-${randomBytes(4).toString('hex')}`
    let handle: FileHandle | undefined
    try {
      handle = await open(temporary, 'wx+', PRIVATE.file)
      // Another user who may write to the directory can have moved a file there that is for everybody.
      const isTaken = existing !== undefined && isOwn(existing) && isClosed(fstatSync(directory))
      if (isTaken) await handle.chmod(existing.mode & 0o777)
      return new NewFile(path, directory, temporary, handle, replace)
    } catch (error) {
      await handle?.close()
      if (handle !== undefined) await unlink(temporary).catch(() => undefined)
      throw new OutputError(path, named(error, directory, path))
    }
  }

  /**
   * Durable and visible on return. Throws OutputExistsError if the path has come into existence meanwhile, OutputError
   * if it leads elsewhere by now.
   */
  async publish(): Promise<void> {
    try {
      await this.#publish()
    } catch (error) {
      throw named(error, this.#directory, this.path)
    }
    // Not the file: where inode numbers belong to names, a link has another number than the file that is open.
    const [held, there] = [fstatSync(this.#directory), await stat(dirname(this.path)).catch(() => undefined)]
    if (there?.ino === held.ino && there.dev === held.dev) return
    throw new OutputError(this.path, `its directory was replaced meanwhile: the file is in ${pathOf(this.#directory)}`)
  }

  async #publish(): Promise<void> {
    await this.handle.sync()
    if (this.#replace) await rename(this.#temporary, at(this.#directory, this.path))
    else await this.#appear()
    nodeFiles.syncDirectory(this.directory)
  }

  /** Closes the file, and removes it unless it was published. */
  async discard(): Promise<void> {
    try {
      await this.handle.close()
    } finally {
      await unlink(this.#temporary).catch(() => undefined)
      closeSync(this.#directory)
    }
  }

  async #appear(): Promise<void> {
    try {
      await link(this.#temporary, at(this.#directory, this.path))
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw new OutputExistsError(this.path)
      // The file system has no hard links.
      await rename(this.#temporary, at(this.#directory, this.path))
    }
  }
}

/** The directory may be another user's, who could put a link in its place. */
function holdDirectory(path: string): number {
  try {
    const directory = findDirectory(dirname(path))
    if (directory !== undefined) return directory
  } catch (error) {
    throw error instanceof LtxdError ? error : new OutputError(path, error)
  }
  throw new OutputError(path, `the directory ${dirname(path)} does not exist`)
}

const at = (directory: number, path: string) => `/proc/self/fd/${directory}/${basename(path)}`

/** The error, with the directory as the user named it. */
function named(error: unknown, directory: number, path: string): unknown {
  if (error instanceof Error) error.message = error.message.replaceAll(`/proc/self/fd/${directory}`, dirname(path))
  return error
}

/**
 * What there is at the path. Throws OutputExistsError where it, or what a link there leads to, is no regular file
 * (with `replace`, OutputError): what is written appears when it is complete, so it cannot go to a device or a pipe.
 * `at`: another path of the same, by a directory that is held.
 */
export async function assertRegular(path: string, replace = false, at = path): Promise<Stats | undefined> {
  const existing = await lstat(at).catch(() => undefined)
  const target = existing?.isSymbolicLink() === true ? await stat(at).catch(() => undefined) : existing
  if (target?.isFile() !== false) return existing
  const found = target.isDirectory() ? 'a directory' : 'a device, a pipe or a socket'
  const reason = `it is ${found}, and only a regular file can be written: name another output`
  throw replace ? new OutputError(path, reason) : new OutputKindError(path, reason)
}
