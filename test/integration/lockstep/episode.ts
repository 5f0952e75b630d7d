import fs from 'node:fs'
import path from 'node:path'
import { holdersOf } from '../../harness/processes.ts'
import type { Random } from '../../harness/random.ts'
import { ANY_PAGE_SIZE, Workload } from '../../harness/workload.ts'
import { Places, same } from './comparison.ts'
import type { Combination } from './matrix.ts'
import { JOURNAL_MODES, SYNCHRONOUS } from './matrix.ts'
import type { Pair, Session } from './session.ts'
import { randomSetting } from './settings.ts'

export interface Directories {
  readonly mount: string
  readonly plain: string
  readonly data: string
}

export interface Counts {
  steps: number
  transactions: number
  comparisons: number
}

/** The random life of a database and its neighbours, the same on the mount and in a plain directory. */
export class Episode {
  readonly #random: Random
  readonly #combination: Combination
  readonly #directories: Directories
  readonly #sessions: readonly [Session, Session]
  readonly #counts: Counts
  readonly #folder: string
  readonly #workload: Workload
  #names = 0
  #main: Places
  #other: Places
  #attached = false
  /** The last action, for messages. */
  #last = 'the start'

  constructor(
    random: Random,
    combination: Combination,
    directories: Directories,
    sessions: readonly [Session, Session],
    counts: Counts,
  ) {
    this.#random = random
    this.#combination = combination
    this.#directories = directories
    this.#sessions = sessions
    this.#counts = counts
    this.#folder = random.next() < 0.3 ? `of-${random.seed}/deep` : `of-${random.seed}`
    for (const root of [directories.mount, directories.plain])
      fs.mkdirSync(`${root}/${this.#folder}`, { recursive: true })
    this.#workload = new Workload(random, {
      pageSizes: ANY_PAGE_SIZE,
      journalModes: JOURNAL_MODES,
      synchronous: SYNCHRONOUS,
      maintenance: true,
      largeBytes: random.next() < 0.1 ? 3_000_000 : 100_000,
    })
    this.#main = this.#newPlaces()
    this.#other = this.#newPlaces()
  }

  /** Throws at the first difference. Closes all connections, and returns the remaining databases. */
  async play(steps: number, until: number): Promise<Places[]> {
    await this.#begin()
    for (let i = 0; i < steps && performance.now() < until; i++) {
      await this.#step()
      await this.#compare()
    }
    await this.#closeAll()
    await this.#main.compareClosed(this.#last)
    return [this.#main, this.#other].filter(({ txid }) => txid > 0n)
  }

  /** Creates a database with the settings of the combination. */
  async #begin(): Promise<void> {
    const { journalMode, synchronous, pageSize, autoVacuum, locking } = this.#combination
    await this.#sessions[0].open(this.#main.paths)
    await this.#run(`PRAGMA page_size = ${pageSize}; PRAGMA auto_vacuum = ${autoVacuum}`)
    if (locking === 'exclusive') await this.#lock('EXCLUSIVE')
    await this.#run(`PRAGMA journal_mode = ${journalMode}`)
    await this.#run(`PRAGMA synchronous = ${synchronous}; PRAGMA cache_size = ${this.#pick([2, 5, 20, 2000])}`)
    await this.#run(
      'BEGIN; CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v BLOB); CREATE INDEX t_k ON t (k); ' +
        'CREATE TABLE log (n INTEGER PRIMARY KEY, what TEXT); COMMIT',
    )
    if (locking === 'exclusive-later') await this.#lock('EXCLUSIVE')
  }

  async #step(): Promise<void> {
    const dice = this.#random.integer(1, 100)
    if (dice <= 58) return this.#ordinary()
    if (dice <= 74) return this.#second()
    if (dice <= 80) return this.#overBoth()
    if (dice <= 93) return this.#run(randomSetting(this.#random))
    if (dice <= 95) return this.#lock(this.#pick(['NORMAL', 'EXCLUSIVE']))
    return this.#files()
  }

  async #ordinary(): Promise<void> {
    const { sql, reopen } = this.#workload.next()
    await this.#run(sql)
    if (reopen !== true) return
    await this.#sessions[0].close()
    this.#attached = false
    await this.#sessions[0].open(this.#main.paths)
  }

  /** Another process with the same database reads, writes, and holds transactions open. */
  async #second(): Promise<void> {
    const random = this.#random
    const workload = this.#workload
    const other = this.#sessions[1]
    if (!other.isOpen) return other.open(this.#main.paths)
    if (other.inTransaction) {
      const how = this.#pick(['COMMIT', 'COMMIT', 'ROLLBACK', 'SELECT count(*), max(id) FROM t', workload.change()])
      return this.#run(how, other)
    }
    const dice = random.integer(1, 10)
    if (dice <= 3) return this.#run(workload.change(), other)
    if (dice <= 5) return this.#run('BEGIN; SELECT count(*), max(id) FROM t', other, true)
    if (dice <= 6) return this.#run(`BEGIN IMMEDIATE; ${workload.change()}`, other, true)
    if (dice <= 8) return this.#run(workload.next().sql, other)
    return other.close()
  }

  /** A transaction over two databases, which has a super-journal in rollback modes. */
  async #overBoth(): Promise<void> {
    const session = this.#sessions[0]
    if (session.inTransaction) return
    if (!this.#attached) {
      const [here, there] = this.#other.paths
      await this.#runPair([`ATTACH '${here}' AS other`, `ATTACH '${there}' AS other`])
      this.#attached = true
      await this.#run(`PRAGMA other.journal_mode = ${this.#pick(JOURNAL_MODES)}`)
      await this.#run('CREATE TABLE IF NOT EXISTS other.both (n INTEGER PRIMARY KEY, v)')
    }
    const end = this.#random.next() < 0.7 ? 'COMMIT' : 'ROLLBACK'
    const rows = this.#random.integer(1, 200)
    await this.#run(
      `BEGIN; ${this.#workload.change()}; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) ` +
        `INSERT INTO other.both (v) SELECT hex(zeroblob(i)) FROM n; DELETE FROM other.both WHERE n % 3 = 1; ${end}`,
    )
    if (this.#random.next() < 0.3) {
      await this.#run('DETACH other')
      this.#attached = false
    }
    if (this.#sessions.some(({ inTransaction }) => inTransaction)) return
    if (!this.#other.isLocked()) await this.#other.compareShared(`${this.#last}, beside it`)
  }

  /** Changes to closed databases, by programs that know nothing of SQLite. */
  async #files(): Promise<void> {
    const dice = this.#random.integer(1, 6)
    if (dice === 1) return this.#vacuumInto()
    if (dice === 2) return this.#backup()
    await this.#closeAll()
    await this.#main.compareClosed(this.#last)
    if (dice === 3) await this.#recreate()
    else if (dice === 4) await this.#rename()
    else if (dice === 5) await this.#copy()
    else await this.#empty()
    if (!this.#sessions[0].isOpen) await this.#sessions[0].open(this.#main.paths)
  }

  async #vacuumInto(): Promise<void> {
    const copy = this.#newPlaces()
    const [here, there] = copy.paths
    await this.#runPair([`VACUUM INTO '${here}'`, `VACUUM INTO '${there}'`])
    // SQLite rejects it within a transaction, or while another process holds the lock.
    if (fs.existsSync(copy.paths[1]) && fs.statSync(copy.paths[1]).size > 0) await this.#checkCopy(copy, 'VACUUM INTO')
  }

  async #backup(): Promise<void> {
    if (this.#sessions.some(({ inTransaction }) => inTransaction)) return
    const copy = this.#newPlaces()
    await this.#sessions[0].ask({ op: 'backup', paths: copy.paths })
    await this.#checkCopy(copy, '.backup')
  }

  async #recreate(): Promise<void> {
    this.#last = 'the database was dropped'
    const removed = this.#main
    for (const file of removed.paths)
      for (const suffix of ['', '-journal', '-wal', '-shm']) fs.rmSync(file + suffix, { force: true })
    await removed.log.catchUp()
    same(removed.log.database.commit, 0, 'the log of a database that was dropped, its size')
    await this.#begin()
  }

  async #rename(): Promise<void> {
    this.#last = 'the database was renamed'
    const to = this.#newPlaces()
    for (const [i, from] of this.#main.paths.entries()) {
      // A journal left by PERSIST or TRUNCATE belongs to the old name.
      fs.rmSync(`${from}-journal`, { force: true })
      for (const session of this.#sessions) await session.endMapping(from)
      try {
        fs.renameSync(from, to.paths[i] as string)
      } catch (error) {
        throw new Error(`${from} cannot be renamed; open in ${holdersOf(from).join(', ')}`, { cause: error })
      }
    }
    this.#retire(this.#main)
    this.#main = to
    await to.compareClosed(this.#last)
  }

  async #copy(): Promise<void> {
    const copy = this.#newPlaces()
    for (const [i, from] of this.#main.paths.entries()) fs.copyFileSync(from, copy.paths[i] as string)
    await this.#checkCopy(copy, 'cp')
  }

  async #empty(): Promise<void> {
    const created = this.#newPlaces()
    for (const file of created.paths) fs.writeFileSync(file, '')
    this.#retire(this.#main)
    this.#main = created
    this.#last = 'an empty file was made'
    await this.#begin()
  }

  /** A copy is a database with a log of its own, and changes independently from then on. */
  async #checkCopy(copy: Places, how: string): Promise<void> {
    await copy.compareShared(`${how} made a copy after ${this.#last}`)
    this.#retire(copy)
  }

  #retire(places: Places): void {
    this.#counts.transactions += Number(places.txid)
    for (const file of places.paths) fs.rmSync(file, { force: true })
  }

  async #lock(mode: 'NORMAL' | 'EXCLUSIVE'): Promise<void> {
    if (this.#sessions[1].isOpen) await this.#sessions[1].close()
    await this.#run(`PRAGMA locking_mode = ${mode}; SELECT count(*) FROM sqlite_schema`)
  }

  async #closeAll(): Promise<void> {
    for (const session of [...this.#sessions].reverse()) await session.close()
    this.#attached = false
  }

  /** Runs the same statements on both. `opens`: they leave a transaction open. */
  #run(sql: string, session: Session = this.#sessions[0], opens = false): Promise<void> {
    const statements = sql.split(';').map((text): Pair => [text.trim(), text.trim()])
    return this.#runAll(statements, session, opens)
  }

  #runPair(pair: Pair): Promise<void> {
    return this.#runAll([pair], this.#sessions[0], false)
  }

  async #runAll(statements: readonly Pair[], session: Session, opens: boolean): Promise<void> {
    this.#counts.steps++
    this.#last = statements.map(([sql]) => sql).join('; ')
    if (process.env['LOCKSTEP_TRACE'] !== undefined)
      console.error(session === this.#sessions[0] ? 'A' : 'B', this.#last.slice(0, 300))
    const alone = this.#sessions.filter(({ isOpen }) => isOpen).length === 1
    const outcome = await session.ask({ op: 'run', statements, alone })
    same(outcome.here, outcome.there, `the outcome of ${this.#last}`)
    // Within a transaction, a statement other than COMMIT may fail and end the transaction.
    if (session.inTransaction && !opens && session === this.#sessions[0])
      await session.ask({ op: 'run', statements: [['ROLLBACK', 'ROLLBACK']], alone })
  }

  /** Asserts that the committed state is the same everywhere. */
  async #compare(): Promise<void> {
    const [first, second] = this.#sessions
    for (const session of this.#random.next() < 0.3 ? [first, second] : [first]) {
      if (!session.isOpen) continue
      const { here, there } = await session.ask({ op: 'content' })
      same(here, there, `the content after ${this.#last}`)
    }
    if (first.inTransaction || second.inTransaction) return
    const when = this.#last
    this.#counts.comparisons++
    if (this.#main.isLocked()) {
      const { here, there } = await first.ask({ op: 'pages' })
      return same(here, there, `the pages of the one connection after ${when}`)
    }
    if (this.#random.integer(1, 3) === 1) await this.#main.compareShared(when)
    else await this.#main.compareLog(when)
    await this.#main.compareBehind(when)
  }

  #newPlaces(): Places {
    return new Places(`${this.#folder}/${path.basename(this.#folder)}-${this.#names++}.db`, this.#directories)
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random.integer(0, values.length - 1)] as T
  }
}
