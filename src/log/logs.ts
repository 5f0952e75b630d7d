import type { Position } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { droppedAt, isNoted, removeRecords } from './dropped.ts'
import { openLog } from './open.ts'
import { removeLog, replaceLog } from './replace.ts'
import { logDirectory } from './store.ts'
import type { LogWriter, LogWriterOptions } from './writer.ts'

export interface LogsOptions extends Omit<LogWriterOptions, 'failed'> {
  /** Called with the reason when a database's log begins to reject everything, and with undefined at the end. */
  readonly failed?: (database: string, error: Error | undefined) => void
}

/** Opens, replaces and removes the logs of a data directory. */
export class Logs {
  readonly #files: Files
  readonly #dataDir: string
  readonly #options: LogsOptions

  constructor(files: Files, dataDir: string, options: LogsOptions) {
    this.#files = files
    this.#dataDir = dataDir
    this.#options = options
  }

  /** Opens the database's log for appending, creating it if it is missing. */
  open(database: string): LogWriter {
    return openLog(this.#files, logDirectory(this.#dataDir, database), this.#optionsOf(database))
  }

  /**
   * Replaces the log with one that begins after `base` with what `fill` writes. The old log's writer must be closed.
   */
  replace(database: string, base: Position, fill: (log: LogWriter) => void): LogWriter {
    return replaceLog(this.#files, logDirectory(this.#dataDir, database), base, this.#optionsOf(database), fill)
  }

  /** Where the database was dropped, if that is all that is left of its log. Throws StateDamagedError. */
  droppedAt(database: string): Position | undefined {
    return droppedAt(this.#files, logDirectory(this.#dataDir, database))
  }

  /** Whether the drop is durable without the log's records. Throws StateDamagedError. */
  isNoted(database: string, drop: Position): boolean {
    return isNoted(this.#files, logDirectory(this.#dataDir, database), drop)
  }

  /** Removes all records of a log whose writer is closed. A crash leaves a log that ends with the same transaction. */
  removeRecords(database: string): void {
    removeRecords(this.#files, logDirectory(this.#dataDir, database))
  }

  /** Removes the log, if there is one. A crash leaves all of it or nothing. */
  remove(database: string): void {
    removeLog(this.#files, logDirectory(this.#dataDir, database))
  }

  #optionsOf(database: string): LogWriterOptions {
    const { failed, ...options } = this.#options
    return failed === undefined ? options : { ...options, failed: (error) => failed(database, error) }
  }
}
