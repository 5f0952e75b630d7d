import { randomBytes } from 'node:crypto'
import { type FileHandle, link, open, rename, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errorCode, errorMessage, LtxdError } from './errors.ts'
import { nodeFiles } from './files.ts'

/** Where a file was to go, something is already. */
export class OutputExistsError extends LtxdError {
  constructor(path: string, beside?: string, advice = 'Nothing is ever overwritten: ') {
    const found =
      beside === undefined
        ? `${path} exists already`
        : `${beside} exists, which SQLite would take for a part of ${path}`
    super('OUTPUT_EXISTS', `${found}. ${advice}move it away, or choose another output`)
  }
}

/** The place of the output cannot be written. */
export class OutputError extends LtxdError {
  constructor(path: string, cause: unknown) {
    super('OUTPUT_UNWRITABLE', `cannot write ${path}: ${errorMessage(cause)}`, 1, { cause })
  }
}

export interface NewFileOptions {
  /** Takes the place of a file that is there, and has its permissions. Without it, one that is there is an error. */
  readonly replace?: boolean
  /** How a user asks for that, where it can be asked for. */
  readonly flag?: string
  /** What the temporary name has in it. */
  readonly label?: string
}

/** A file that is written beside its place and appears there when it is complete and durable. */
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

  /** In a directory that exists. Throws OutputExistsError, OutputError. */
  static async create(path: string, options: NewFileOptions = {}): Promise<NewFile> {
    const { replace = false, flag, label = 'new' } = options
    const there = await stat(path).catch(() => undefined)
    if (there !== undefined && !replace) {
      throw new OutputExistsError(path, undefined, flag === undefined ? undefined : `Replace it with ${flag}, or `)
    }
    if (there?.isFile() === false) throw new OutputError(path, 'it is there, and is not a file')
    const temporary = `${path}.ltxd-${label}-${randomBytes(4).toString('hex')}`
    try {
      const handle = await open(temporary, 'wx+', 0o644)
      if (there !== undefined) await handle.chmod(there.mode & 0o777)
      return new NewFile(path, temporary, handle, replace)
    } catch (error) {
      throw new OutputError(path, error)
    }
  }

  /** Durable and visible on return. Throws OutputExistsError when something has come there meanwhile. */
  async publish(): Promise<void> {
    await this.handle.sync()
    if (this.#replace) await rename(this.#temporary, this.path)
    else await this.#appear()
    nodeFiles.syncDirectory(dirname(this.path))
  }

  /** Closes, and removes what was not published. */
  async discard(): Promise<void> {
    await this.handle.close()
    await unlink(this.#temporary).catch(() => undefined)
  }

  async #appear(): Promise<void> {
    try {
      await link(this.#temporary, this.path)
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw new OutputExistsError(this.path)
      // File systems without hard links.
      await rename(this.#temporary, this.path)
    }
  }
}
