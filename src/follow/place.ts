/**
 * The directory of a followed file, held by a descriptor from the first pass to the last. It may be another user's, who
 * renames it, makes a link in its place, and renames and replaces what is in it: everything there is found by the
 * descriptor, and no link in it is followed.
 */

import fs from 'node:fs'
import { basename, dirname } from 'node:path'
import { SIDE_SUFFIXES } from '../apply/beside.ts'
import { BY_UMASK } from '../util/directories.ts'
import { type FilesBeneath, filesBeneath } from '../util/files-beneath.ts'
import { makeNamedDirectory, pathOf } from '../util/named-directory.ts'
import { isClosed, PRIVATE } from '../util/private-files.ts'
import { openUnnamed } from '../util/unnamed-file.ts'
import { ForeignFileSystemError, ReplacedFileError } from './errors.ts'

export class Place {
  /** The followed file, as messages name it. */
  readonly path: string
  /** By that name, and by those of the files beside it. */
  readonly files: FilesBeneath
  readonly #directory: number

  /** Makes a missing directory. Throws ForeignLinkError, and system errors. */
  static hold(path: string): Place {
    return new Place(path, makeNamedDirectory(dirname(path), BY_UMASK))
  }

  private constructor(path: string, directory: number) {
    this.path = path
    this.#directory = directory
    this.files = filesBeneath(dirname(path), PRIVATE, `${this.directory}/.`)
  }

  close(): void {
    fs.closeSync(this.#directory)
  }

  /** A path of the held directory, for what takes a path. */
  get directory(): string {
    return `/proc/self/fd/${this.#directory}`
  }

  /** Where the held directory is now, without links. */
  get resolved(): string {
    return pathOf(this.#directory)
  }

  /** Where a restore is written, without touching the file. */
  get incoming(): string {
    return `${this.path}.ltxd-incoming`
  }

  /** The same, by a path of the held directory. */
  get heldIncoming(): string {
    return `${this.directory}/${basename(this.incoming)}`
  }

  /** Only this user makes, moves and removes files here. */
  get isClosed(): boolean {
    return isClosed(fs.fstatSync(this.#directory))
  }

  /** Throws LinkedNameError. */
  status(): fs.Stats | undefined {
    return this.files.status(this.path)
  }

  /**
   * Throws ForeignFileSystemError where the directory is not this user's alone, and a file that he makes there is not
   * his: none that is restored there could be told from one of another user's.
   */
  assertOwnsFiles(): void {
    if (this.isClosed) return
    const fd = openUnnamed(this.directory)
    const { uid } = fs.fstatSync(fd)
    fs.closeSync(fd)
    if (uid !== process.geteuid?.()) throw new ForeignFileSystemError(dirname(this.path), uid)
  }

  removeIncoming(): void {
    for (const suffix of ['', ...SIDE_SUFFIXES]) this.files.remove(this.incoming + suffix)
  }

  /**
   * Gives the restored file its name. `before` gets a descriptor of it. Throws ReplacedFileError where another file has
   * one of the two names: where another user may write, he can put a file there that is not for everybody.
   */
  moveIn(restored: fs.Stats, before: (fd: number) => void): void {
    const { files, incoming, path } = this
    const fd = files.open(incoming, fs.constants.O_RDONLY)
    try {
      this.#assertSame(incoming, fs.fstatSync(fd), restored)
      before(fd)
    } finally {
      fs.closeSync(fd)
    }
    files.rename(incoming, path)
    files.syncDirectory(dirname(path))
    this.#assertSame(path, this.status(), restored)
  }

  /** Renames the file, with its WAL and journal. Programs that have it open continue to read it. Returns the name. */
  moveAway(nowMs: number): string {
    const { files, path } = this
    const stamp = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')
    let keptAs = `${path}.kept-${stamp}`
    for (let i = 2; files.exists(keptAs); i++) keptAs = `${path}.kept-${stamp}-${i}`
    files.rename(path, keptAs)
    for (const suffix of SIDE_SUFFIXES) if (files.exists(path + suffix)) files.rename(path + suffix, keptAs + suffix)
    files.syncDirectory(dirname(path))
    return keptAs
  }

  /** The error, with the directory as the user named it. */
  named(error: unknown): unknown {
    if (error instanceof Error) error.message = error.message.replaceAll(this.directory, dirname(this.path))
    return error
  }

  /** Inode numbers can change on file systems that have none of their own: a closed directory needs no comparison. */
  #assertSame(path: string, found: fs.Stats | undefined, restored: fs.Stats): void {
    if (this.isClosed || (found?.ino === restored.ino && found.dev === restored.dev)) return
    throw new ReplacedFileError(path)
  }
}
