import { logDirectory } from '../log/store.ts'
import { globMatcher } from '../util/glob.ts'
import type { CapturedDatabase } from './captured-database.ts'

/** Which files are databases, as the configuration has it (`fuse.databases`, `fuse.other-files`). */
export interface FilterOptions {
  /** Patterns of paths on the mount (util/glob.ts). */
  readonly databases: readonly string[]
  /** What becomes of all other files. */
  readonly otherFiles: 'serve' | 'refuse'
}

export class DatabaseFilter {
  readonly refusesOthers: boolean
  readonly #matchers: readonly ((path: string) => boolean)[]

  constructor({ databases, otherFiles }: FilterOptions) {
    this.refusesOthers = otherFiles === 'refuse'
    this.#matchers = databases.map(globMatcher)
  }

  /** Whether a file of that name may be a database. */
  names(name: string): boolean {
    return this.#matchers.some((matches) => matches(name))
  }

  /** A recovered database that is none by its name is not served: neither as a plain file nor as a database would be what was meant. */
  judge(database: CapturedDatabase, dataDir: string): void {
    const { name } = database
    if (!database.tracked || this.names(name)) return
    database.refusal ??=
      `its name matches none of fuse.databases, but it has an LTX log. Add a pattern for "${name}"; ` +
      `or, to have it as a plain file, stop the node and move ${logDirectory(dataDir, name)} away`
  }
}

/** Any file may be a database. */
export const ANY_DATABASE = new DatabaseFilter({ databases: ['**'], otherFiles: 'serve' })
