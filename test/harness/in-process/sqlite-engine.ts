import { Random } from '../random.ts'
import type { FileLock, SharedMemory } from './locks.ts'
import { killFilesOf, register, sqlite, VFS, type VfsEngine } from './sqlite-vfs.ts'
import type { VfsFiles } from './vfs-files.ts'

/**
 * SQLite on a file system of the test, in-process and deterministic: a test can cut or reject any write, or crash after
 * it. Several connections share locks and wal-index as processes would.
 */

export interface EngineOptions {
  readonly seed: number
  readonly powersafeOverwrite?: boolean
  readonly sectorSizeBytes?: number
}

/** One file system with the applications on it. */
export class SqliteEngine implements VfsEngine {
  readonly options: EngineOptions
  readonly files: VfsFiles
  /** An error that reached SQLite and is no operating error: a bug for the test to report. */
  failure: unknown
  /** The last operating error that reached SQLite. */
  lastError: unknown
  readonly random: Random
  readonly locks = new Map<string, FileLock>()
  readonly shared = new Map<string, SharedMemory>()
  readonly prefix: string
  current: Connection | undefined

  constructor(files: VfsFiles, options: EngineOptions) {
    this.files = files
    this.options = options
    this.random = new Random(options.seed)
    this.prefix = register(this)
  }

  open(name: string): Connection {
    return new Connection(this, name)
  }

  /** Runs all work of `connection`. Throws a bug that SQLite has only seen as an I/O error. */
  run<T>(connection: Connection, work: () => T): T {
    const before = this.current
    this.current = connection
    this.lastError = undefined
    try {
      const result = work()
      this.#throwFailure()
      return result
    } catch (error) {
      this.#throwFailure()
      throw new SqlError(error as Error & { resultCode?: number }, this.lastError)
    } finally {
      this.current = before
    }
  }

  #throwFailure(): void {
    const { failure } = this
    this.failure = undefined
    if (failure !== undefined) throw new Error('the file system failed', { cause: failure })
  }
}

/** SQLite's error, with the file system's error as its cause. */
class SqlError extends Error {
  readonly resultCode: number | undefined

  constructor({ message, resultCode }: Error & { resultCode?: number }, cause: unknown) {
    super(message, { cause })
    this.resultCode = resultCode
  }
}

export type Row = readonly unknown[]

/** One application's connection. */
export class Connection {
  readonly engine: SqliteEngine
  readonly #db: InstanceType<typeof sqlite.oo1.DB>

  constructor(engine: SqliteEngine, name: string) {
    this.engine = engine
    this.#db = engine.run(this, () => new sqlite.oo1.DB({ filename: engine.prefix + name, flags: 'c', vfs: VFS }))
  }

  /** Runs statements and returns the rows of the last one. Throws SQLite's error. */
  exec(sql: string, bind?: readonly (string | number | null | Uint8Array)[]): Row[] {
    return this.engine.run(this, () =>
      this.#db.exec({ sql, returnValue: 'resultRows', rowMode: 'array', ...(bind && { bind: [...bind] }) }),
    )
  }

  value(sql: string): unknown {
    return this.exec(sql)[0]?.[0]
  }

  close(): void {
    this.engine.run(this, () => this.#db.close())
  }

  /** The end of a killed process: its locks are released and its descriptors closed, and nothing else happens. */
  kill(): void {
    killFilesOf(this)
    this.close()
  }
}
