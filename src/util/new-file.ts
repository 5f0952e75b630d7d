import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { type FileHandle, link, lstat, open, rename, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errorCode, errorMessage, LtxdError } from './errors.ts'
import { nodeFiles } from './files.ts'
import { PRIVATE } from './private-files.ts'

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
   * Replace an existing file, and take over the permissions of one of this user. Without `replace`, an existing file
   * is an error.
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
  readonly #temporary: string
  readonly #replace: boolean

  private constructor(path: string, temporary: string, handle: FileHandle, replace: boolean) {
    this.path = path
    this.#temporary = temporary
    this.handle = handle
    this.#replace = replace
  }

  /** The directory of `path` must exist. Throws OutputExistsError, OutputError. */
  static async create(path: string, options: NewFileOptions = {}): Promise<NewFile> {
    const { replace = false, flag, label = 'new' } = options
    const existing = await assertRegular(path, replace)
    if (existing !== undefined && !replace) {
      throw new OutputExistsError(path, undefined, flag === undefined ? undefined : `Replace it with ${flag}, or `)
    }
    const temporary = `${path}.ltxd-${label}-${randomBytes(4).toString('hex')}`
    try {
      const handle = await open(temporary, 'wx+', PRIVATE.file)
      if (existing !== undefined && isOwn(existing)) await handle.chmod(existing.mode & 0o777)
      return new NewFile(path, temporary, handle, replace)
    } catch (error) {
      throw new OutputError(path, error)
    }
  }

  /** Durable and visible on return. Throws OutputExistsError if the path has come into existence meanwhile. */
  async publish(): Promise<void> {
    await this.handle.sync()
    if (this.#replace) await rename(this.#temporary, this.path)
    else await this.#appear()
    nodeFiles.syncDirectory(dirname(this.path))
  }

  /** Closes the file, and removes it unless it was published. */
  async discard(): Promise<void> {
    await this.handle.close()
    await unlink(this.#temporary).catch(() => undefined)
  }

  async #appear(): Promise<void> {
    try {
      await link(this.#temporary, this.path)
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw new OutputExistsError(this.path)
      // The file system has no hard links.
      await rename(this.#temporary, this.path)
    }
  }
}

/**
 * What there is at the path. Throws OutputExistsError where it, or what a link there leads to, is no regular file
 * (with `replace`, OutputError): what is written appears when it is complete, so it cannot go to a device or a pipe.
 */
export async function assertRegular(path: string, replace = false): Promise<Stats | undefined> {
  const existing = await lstat(path).catch(() => undefined)
  const target = existing?.isSymbolicLink() === true ? await stat(path).catch(() => undefined) : existing
  if (target?.isFile() !== false) return existing
  const found = target.isDirectory() ? 'a directory' : 'a device, a pipe or a socket'
  const reason = `it is ${found}, and only a regular file can be written: name another output`
  throw replace ? new OutputError(path, reason) : new OutputKindError(path, reason)
}

/** Another user may have made what is there, or have linked it there, with a mode that lets everybody in. */
function isOwn(existing: Stats): boolean {
  return existing.isFile() && existing.nlink === 1 && existing.uid === process.geteuid?.()
}
