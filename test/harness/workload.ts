import type { Random } from './random.ts'

/**
 * Random SQL that a seed replays, with the common and the rare operations of applications. Each step commits at most
 * once.
 */

export interface Step {
  readonly sql: string
  /** Close the connection and open a new one before the next step. */
  readonly reopen?: boolean
  /** The step does not commit, so nothing may have changed. */
  readonly rollsBack?: boolean
}

export interface WorkloadOptions {
  readonly pageSizes: readonly number[]
  readonly journalModes: readonly string[]
  readonly synchronous: readonly string[]
  /** Checkpoints, VACUUM, changes of mode and page size. */
  readonly maintenance: boolean
  /** The approximate size of a large transaction in bytes. */
  readonly largeBytes: number
}

export const ANY_PAGE_SIZE = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] as const

export class Workload {
  readonly #random: Random
  readonly #options: WorkloadOptions
  #rows = 0

  constructor(random: Random, options: WorkloadOptions) {
    this.#random = random
    this.#options = options
  }

  /** The first steps of a new database. */
  *setUp(): Generator<Step> {
    const { pageSizes, synchronous } = this.#options
    const vacuum = this.#pick(['none', 'full', 'incremental'])
    yield { sql: `PRAGMA page_size = ${this.#pick(pageSizes)}; PRAGMA auto_vacuum = ${vacuum}` }
    yield { sql: this.#journalMode() }
    yield {
      sql: `PRAGMA synchronous = ${this.#pick(synchronous)}; PRAGMA cache_size = ${this.#pick([2, 5, 20, 2000])}`,
    }
    yield {
      sql:
        'BEGIN; CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v BLOB); CREATE INDEX t_k ON t (k); ' +
        'CREATE TABLE log (n INTEGER PRIMARY KEY, what TEXT); COMMIT',
    }
  }

  next(): Step {
    const random = this.#random
    const dice = random.integer(1, 100)
    if (dice <= 40) return { sql: `BEGIN IMMEDIATE; ${this.#changes(random.integer(1, 3))}; COMMIT` }
    if (dice <= 52) return { sql: this.change() }
    if (dice <= 62) return { sql: `BEGIN; ${this.#changes(random.integer(1, 4))}; ROLLBACK`, rollsBack: true }
    if (dice <= 72) return { sql: this.#savepoints() }
    if (dice <= 79) return { sql: `BEGIN IMMEDIATE; ${this.#large()}; ${random.next() < 0.6 ? 'COMMIT' : 'ROLLBACK'}` }
    if (dice <= 83) return { sql: this.#schema() }
    if (dice <= 87) return { sql: `PRAGMA cache_size = ${this.#pick([2, 5, 10, 100])}` }
    if (dice <= 90) return { sql: 'SELECT count(*) FROM t', reopen: true }
    if (!this.#options.maintenance) return { sql: this.change() }
    return { sql: this.#maintenance() }
  }

  #maintenance(): string {
    const random = this.#random
    const options = this.#options
    const dice = random.integer(1, 10)
    if (dice <= 3) return `PRAGMA wal_checkpoint(${this.#pick(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})`
    if (dice <= 5) return this.#journalMode()
    if (dice <= 6) return 'VACUUM'
    if (dice <= 7) return `PRAGMA incremental_vacuum(${random.integer(1, 20)})`
    if (dice <= 8) return `PRAGMA synchronous = ${this.#pick(options.synchronous)}`
    return `PRAGMA page_size = ${this.#pick(options.pageSizes)}; VACUUM`
  }

  #journalMode(): string {
    return `PRAGMA journal_mode = ${this.#pick(this.#options.journalModes)}`
  }

  #savepoints(): string {
    const random = this.#random
    const inner = random.next() < 0.7 ? 'ROLLBACK TO inner; RELEASE inner' : 'RELEASE inner'
    const middle = random.next() < 0.5 ? `; ${this.change()}` : ''
    return `BEGIN; ${this.change()}; SAVEPOINT inner; ${this.#changes(random.integer(1, 3))}; ${inner}${middle}; COMMIT`
  }

  #schema(): string {
    const name = `extra${this.#random.integer(1, 4)}`
    if (this.#random.next() < 0.4) return `DROP TABLE IF EXISTS ${name}`
    return `BEGIN; CREATE TABLE IF NOT EXISTS ${name} (a, b); INSERT INTO ${name} SELECT k, v FROM t LIMIT ${this.#random.integer(1, 30)}; COMMIT`
  }

  #changes(count: number): string {
    return Array.from({ length: count }, () => this.change()).join('; ')
  }

  /** One statement that changes rows. */
  change(): string {
    const random = this.#random
    const dice = random.integer(1, 10)
    if (dice <= 5) return this.#insert(random.integer(1, 8), random.integer(10, 900))
    if (dice <= 7) return `UPDATE t SET v = ${this.#blob(random.integer(10, 2000))}, k = k + 1 WHERE ${this.#some()}`
    if (dice <= 9) return `DELETE FROM t WHERE ${this.#some()}`
    return `INSERT INTO log (what) VALUES (${this.#blob(20)})`
  }

  /** Changes more pages than a small cache holds: pages spill before the commit, and some are written again. */
  #large(): string {
    const bytes = this.#random.integer(300, 3000)
    const rows = Math.max(1, Math.ceil(this.#options.largeBytes / bytes))
    return `${this.#insert(rows, bytes)}; UPDATE t SET k = k + 1 WHERE id % 3 = 0; DELETE FROM t WHERE id % 4 = ${this.#random.integer(0, 3)}`
  }

  #insert(rows: number, bytes: number): string {
    const first = this.#rows
    this.#rows += rows
    return (
      `WITH RECURSIVE n(i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${first + rows}) ` +
      `INSERT INTO t (k, v) SELECT i * 7919 % 1009, ${this.#blob(bytes)} || i FROM n`
    )
  }

  #some(): string {
    const step = this.#random.integer(2, 9)
    return `id % ${step} = ${this.#random.integer(0, step - 1)} AND id > ${this.#random.integer(0, Math.max(1, this.#rows))}`
  }

  #blob(bytes: number): string {
    const digits = this.#random.integer(0, 0xffffffff).toString(16).padStart(8, '0')
    return `replace(hex(zeroblob(${Math.ceil(bytes / 8)})), '00', '${digits}')`
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random.integer(0, values.length - 1)] as T
  }
}
