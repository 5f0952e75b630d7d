import fs from 'node:fs'
import { errorCode } from '../../util/errors.ts'
import { resolveBeneath } from '../../util/files-beneath.ts'
import { O_PATH } from '../../util/named-directory.ts'
import { listNames, native, type NativePath } from '../../util/path-bytes.ts'
import { rejection } from '../errno.ts'

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/**
 * The directory whose files the mount shows. Paths are relative to it; '' is the directory itself. The kernel resolves
 * links on the mount, so a directory on the way to a file is never one: who can rename what is in it behind the mount,
 * because it was open to him before, leads nowhere else.
 */
export class BackingDirectory {
  readonly #root: string

  /** `root` is the absolute path of an existing directory. */
  constructor(root: string) {
    this.#root = root
  }

  /** Calls `use` with a path of the file, of which only the last component can be a link. Throws LinkedNameError. */
  within<T>(path: string, use: (path: NativePath) => T): T {
    const named = path === '' ? this.#root : `${this.#root}/${path}`
    return path.includes('/') ? resolveBeneath(this.#root, named, (at) => use(native(at))) : use(native(named))
  }

  /** Does not follow a symbolic link. Undefined when `path` does not exist. */
  attributes(path: string): fs.Stats | undefined {
    try {
      return this.within(path, (at) => fs.lstatSync(at, { throwIfNoEntry: false }))
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
      throw error
    }
  }

  /** Throws FsError unless a file, or a directory, may be renamed to `path`: a rename must not fail half-way. */
  assertReplaceable(path: string, byDirectory: boolean): void {
    const target = this.attributes(path)
    if (target === undefined) return
    if (target.isDirectory() !== byDirectory) throw rejection(byDirectory ? 'ENOTDIR' : 'EISDIR')
    if (byDirectory && this.names(path).length > 0) throw rejection('ENOTEMPTY')
  }

  names(path: string): string[] {
    return this.#withDirectory(path, O_PATH, (fd) => listNames(`/proc/self/fd/${fd}`))
  }

  readLink(path: string): Uint8Array {
    return this.within(path, (at) => fs.readlinkSync(at, 'buffer'))
  }

  unlink(path: string): void {
    this.within(path, (at) => fs.unlinkSync(at))
  }

  removeDirectory(path: string): void {
    this.within(path, (at) => fs.rmdirSync(at))
  }

  rename(from: string, to: string): void {
    this.within(from, (fromAt) => this.within(to, (toAt) => fs.renameSync(fromAt, toAt)))
  }

  /** fsync of a directory. */
  sync(path: string): void {
    this.#withDirectory(path, O_RDONLY, (fd) => fs.fsyncSync(fd))
  }

  statistics(): fs.StatsFs {
    return fs.statfsSync(this.#root)
  }

  #withDirectory<T>(path: string, flags: number, use: (fd: number) => T): T {
    const fd = this.within(path, (at) => fs.openSync(at, flags | O_DIRECTORY | O_NOFOLLOW))
    try {
      return use(fd)
    } finally {
      fs.closeSync(fd)
    }
  }
}
