import type { Position } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { openLog } from './open.ts'
import { removeLog, replaceLog } from './replace.ts'
import { logDirectory } from './store.ts'
import type { LogWriter, LogWriterOptions } from './writer.ts'

/** The logs of a data directory, for appending. */
export class Logs {
  readonly #files: Files
  readonly #dataDir: string
  readonly #options: LogWriterOptions

  constructor(files: Files, dataDir: string, options: LogWriterOptions) {
    this.#files = files
    this.#dataDir = dataDir
    this.#options = options
  }

  /** Creates it where there is none. */
  open(database: string): LogWriter {
    return openLog(this.#files, logDirectory(this.#dataDir, database), this.#options)
  }

  /** A log that begins with what `fill` writes after `base` takes the place of the one there is, whose writer must be closed. */
  replace(database: string, base: Position, fill: (log: LogWriter) => void): LogWriter {
    return replaceLog(this.#files, logDirectory(this.#dataDir, database), base, this.#options, fill)
  }

  /** A crash leaves all of it or nothing. Does nothing where there is none. */
  remove(database: string): void {
    removeLog(this.#files, logDirectory(this.#dataDir, database))
  }
}
