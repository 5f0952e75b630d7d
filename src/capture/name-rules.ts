import fs from 'node:fs'
import type { Caller, FileContent } from '../fuse/content.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { DATABASE_MAGIC_SIZE, hasDatabaseMagic } from '../sqlite/database-header.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'
import { PlainContent } from './contents.ts'
import type { DatabaseFilter } from './database-filter.ts'
import type { CaptureEvents } from './events.ts'
import { GuardedContent, isDatabase, isDatabaseOrSideFile } from './guarded-content.ts'
import { classify } from './naming.ts'
import { OtherContent } from './other-content.ts'
import { rejectName, rejectOther, rejectUnfitName } from './rejection.ts'

export interface NameRulesOptions {
  /** The backing directory. */
  readonly root: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly filter: DatabaseFilter
}

/** What a file may be because of its name: the configured patterns, and the names that no database can have. */
export class NameRules {
  readonly #options: NameRulesOptions

  constructor(options: NameRulesOptions) {
    this.#options = options
  }

  /** A file whose name matches no pattern. */
  excluded(path: string, fd: number): FileContent {
    const { files, events, filter } = this.#options
    // The pattern names a side file, which the user may mean as a database: it must not become one in silence.
    if (filter.matches(path)) return this.guarded(path, fd, this.plain(fd))
    return filter.rejectsOthers ? new OtherContent(files, fd, events, path, rejectOther) : this.plain(fd)
  }

  /** A file beside a database that cannot exist, or the file itself, because of its name. */
  unfit(path: string, fd: number): FileContent {
    const { files, events, filter } = this.#options
    if (filter.rejectsOthers) return new OtherContent(files, fd, events, path, rejectUnfitName)
    return this.guarded(path, fd, this.plain(fd))
  }

  plain(fd: number): FileContent {
    return new PlainContent(this.#options.files, fd)
  }

  /** `inner`, which never begins as a database of that name. */
  guarded(path: string, fd: number, inner: FileContent): GuardedContent {
    const { files, events } = this.#options
    const isUnfit = databaseNameProblem(classify(path).database) !== undefined
    return new GuardedContent(inner, {
      ...{ files, fd, events, path },
      isForbidden: isUnfit ? isDatabaseOrSideFile : isDatabase,
    })
  }

  /** Throws FsError if a file, which may be a database, must not get the name `to`. */
  assertMayBecome(from: string, to: string, caller: Caller): void {
    const { events, filter } = this.#options
    if (!filter.matches(classify(to).database) && !filter.matches(to)) {
      if (filter.rejectsOthers) throw rejectOther(events, to, caller)
      return
    }
    if (databaseNameProblem(to) !== undefined && this.#isDatabase(from)) throw rejectName(events, to, caller)
  }

  #isDatabase(path: string): boolean {
    const { root, files } = this.#options
    const beginning = new Uint8Array(DATABASE_MAGIC_SIZE)
    return withFile(files, `${root}/${path}`, fs.constants.O_RDONLY, (fd) => {
      return files.read(fd, beginning, 0, beginning.length, 0) === beginning.length && hasDatabaseMagic(beginning)
    })
  }
}
