import type { FileContent } from '../fuse/content.ts'
import type { Files } from '../util/files.ts'
import type { CaptureEvents } from './events.ts'
import type { GuardedContent } from './guarded-content.ts'
import { forgetRename, type RenameOver } from './rename-over.ts'

const SUFFIXES = ['-wal', '-shm', '-journal'] as const
const NO_INODE = -1

/** A side file of a database, as it was last opened. */
interface Opened {
  readonly guarded: GuardedContent
  /** Ends its part in the database. */
  readonly detach: () => void
}

/**
 * The side files of databases whose names were taken away while they may be open. SQLite finds side files by name, so a
 * WAL that stays behind would become that of the next database of the name. On a plain directory this destroys both.
 */
export class SideFiles {
  readonly #root: string
  readonly #files: Files
  readonly #events: CaptureEvents
  readonly #opened = new Map<string, Opened>()
  /** Side files that a database left behind, and the inode number of its file. */
  readonly #left = new Map<string, number>()

  constructor(root: string, files: Files, events: CaptureEvents) {
    this.#root = root
    this.#files = files
    this.#events = events
  }

  /** The file is opened, and was closed before: whoever opens it now means it as it is. */
  opened(path: string, guarded: GuardedContent, detach: () => void): void {
    this.#left.delete(path)
    this.#opened.set(path, { guarded, detach })
  }

  /** Whether the file, which is open, is the side file of a database that is served under its name. */
  has(path: string): boolean {
    return this.#opened.has(path)
  }

  /** The file of the database `name` is gone. A later one may have its inode number, and is another. */
  gone(name: string): void {
    for (const suffix of SUFFIXES) if (this.#left.has(name + suffix)) this.#left.set(name + suffix, NO_INODE)
  }

  /** The file was removed. */
  removed(path: string): void {
    this.#left.delete(path)
  }

  /** The file was renamed, or another was renamed over it: whoever has it open has a plain file. */
  renamed(path: string, plain: (fd: number) => FileContent): void {
    this.#left.delete(path)
    this.#end(path, plain)
  }

  /**
   * The database `name` is about to lose its file, of inode `ino`: open side files become `content`. Returns them.
   * `copied`: the suffixes of those that are not its own.
   */
  detach(name: string, ino: number, content: (fd: number) => FileContent, copied: readonly string[]): GuardedContent[] {
    return SUFFIXES.flatMap((suffix) => {
      const path = name + suffix
      const ended = this.#end(path, content)
      if (!copied.includes(suffix) && this.#files.exists(`${this.#root}/${path}`)) this.#left.set(path, ino)
      return ended === undefined ? [] : [ended]
    })
  }

  /** What an earlier database left beside `name`, which the file of inode `ino` is about to become. */
  leftBeside(name: string, ino: number): string[] {
    return SUFFIXES.map((suffix) => name + suffix).filter((path) => {
      const owner = this.#left.get(path)
      return owner !== undefined && owner !== ino
    })
  }

  /** Removes the names of side files that an earlier database left. Whoever has them open keeps them. */
  remove(paths: readonly string[], database: string, remove: (path: string) => void): void {
    for (const path of paths) {
      this.#left.delete(path)
      if (!this.#files.exists(`${this.#root}/${path}`)) continue
      const message = 'removed a side file that the former database of the name left: it does not belong to the new one'
      this.#events.log('warn', message, { database, file: path })
      remove(path)
    }
  }

  /** The file that left them has lost its name to another. Throws. */
  removeLeft(over: RenameOver, remove: (path: string) => void): void {
    this.remove(over.left, over.to, remove)
    forgetRename(this.#files, this.#root, over)
  }

  #end(path: string, content: (fd: number) => FileContent): GuardedContent | undefined {
    const opened = this.#opened.get(path)
    this.#opened.delete(path)
    opened?.detach()
    opened?.guarded.become(content)
    return opened?.guarded
  }
}
