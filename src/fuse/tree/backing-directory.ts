import fs from 'node:fs'
import { listNames, native, type NativePath } from '../../util/path-bytes.ts'
import { rejection } from '../errno.ts'

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/** The directory whose files the mount shows. Paths are relative to it; '' is the directory itself. */
export class BackingDirectory {
  readonly #root: string

  /** `root` is the absolute path of an existing directory. */
  constructor(root: string) {
    this.#root = root
  }

  absolute(path: string): NativePath {
    return native(this.#named(path))
  }

  /** Does not follow a symbolic link. Undefined when `path` does not exist. */
  attributes(path: string): fs.Stats | undefined {
    return fs.lstatSync(this.absolute(path), { throwIfNoEntry: false })
  }

  /** Throws FsError unless a file, or a directory, may be renamed to `path`: a rename must not fail half-way. */
  assertReplaceable(path: string, byDirectory: boolean): void {
    const target = this.attributes(path)
    if (target === undefined) return
    if (target.isDirectory() !== byDirectory) throw rejection(byDirectory ? 'ENOTDIR' : 'EISDIR')
    if (byDirectory && this.names(path).length > 0) throw rejection('ENOTEMPTY')
  }

  names(path: string): string[] {
    return listNames(this.#named(path))
  }

  /** fsync of a directory. */
  sync(path: string): void {
    const fd = fs.openSync(this.absolute(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  statistics(): fs.StatsFs {
    return fs.statfsSync(this.#root)
  }

  #named(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }
}
