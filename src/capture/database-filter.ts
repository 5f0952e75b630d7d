import { logDirectory } from '../log/store.ts'
import { globMatcher } from '../util/glob.ts'
import type { CapturedDatabase } from './captured-database.ts'

/** Which files are databases (`fuse.databases`), and what happens to all others (`fuse.other-files`). */
export interface FilterOptions {
  /** Patterns of paths on the mount; util/glob.ts describes them. */
  readonly databases: readonly string[]
  /** `serve` shows other files as plain files; `refuse` rejects opening and creating them. */
  readonly otherFiles: 'serve' | 'refuse'
}

export class DatabaseFilter {
  readonly rejectsOthers: boolean
  readonly #matchers: readonly ((path: string) => boolean)[]

  constructor({ databases, otherFiles }: FilterOptions) {
    this.rejectsOthers = otherFiles === 'refuse'
    this.#matchers = databases.map(globMatcher)
  }

  /** Whether a pattern matches `name`, so that the file may be a database. */
  matches(name: string): boolean {
    return this.#matchers.some((matches) => matches(name))
  }

  /**
   * Marks a recovered database as not served if no pattern matches its name. Serving it as a plain file would write
   * past its LTX log; serving it as a database would contradict the configuration.
   */
  rejectExcluded(database: CapturedDatabase, dataDir: string): void {
    const { name } = database
    if (!database.tracked || this.matches(name)) return
    database.rejection ??=
      `its name matches none of fuse.databases, but it has an LTX log. Add a pattern for "${name}"; ` +
      `or, to serve it as a plain file, stop the node and move ${logDirectory(dataDir, name)} away`
  }
}

/** Any file may be a database. */
export const ANY_DATABASE = new DatabaseFilter({ databases: ['**'], otherFiles: 'serve' })
