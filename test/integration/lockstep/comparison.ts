import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { LogFollower } from '../../harness/log-follower.ts'
import type { Pair } from './session.ts'

/** The byte of the database header that is 2 in WAL mode. */
const READ_VERSION = 19
const WAL_VERSION = 2

/**
 * The copies of a database: on the mount, in the plain directory, behind the mount, and in the log.
 */
export class Places {
  readonly name: string
  readonly paths: Pair
  readonly behind: string
  readonly log: LogFollower

  constructor(name: string, directories: { readonly mount: string; readonly plain: string; readonly data: string }) {
    this.name = name
    this.paths = [`${directories.mount}/${name}`, `${directories.plain}/${name}`]
    this.behind = `${directories.data}/files/${name}`
    this.log = new LogFollower(directories.data, name)
  }

  /** The last compared transaction. */
  get txid(): bigint {
    return this.log.database.txid
  }

  /**
   * Whether a connection has locked the plain file. A connection with a WAL without `-shm` holds its lock until it
   * closes.
   */
  isLocked(): boolean {
    const fresh = new Sqlite(this.paths[1], { timeout: 0 })
    try {
      fresh.prepare('SELECT count(*) FROM sqlite_schema').get()
      return false
    } catch (error) {
      if (error instanceof Sqlite.SqliteError && error.code === 'SQLITE_BUSY') return true
      throw error
    } finally {
      fresh.close()
    }
  }

  /**
   * Asserts that mount, plain file and replayed log have the same pages, and that the database is sound. Uses new
   * connections, because the writer's cache still has the old content of free pages.
   */
  async compareShared(when: string): Promise<void> {
    const [here, there] = this.paths.map((path) => {
      const fresh = new Sqlite(path, { timeout: 60_000 })
      same(JSON.stringify(fresh.pragma('integrity_check')), '[{"integrity_check":"ok"}]', `integrity after ${when}`)
      const bytes = fresh.serialize()
      fresh.close()
      return bytes
    }) as [Buffer, Buffer]
    await this.log.catchUp()
    same(firstDifference(here, there), undefined, `the pages on the mount and in the plain file after ${when}`)
    same(
      firstDifference(here, this.log.database.bytes()),
      undefined,
      `the pages on the mount and in the log after ${when}`,
    )
  }

  /** Asserts that the log has exactly the pages of the last committed state, without reading the mount. */
  async compareLog(when: string): Promise<void> {
    const fresh = new Sqlite(this.paths[1], { timeout: 60_000 })
    const bytes = fresh.serialize()
    fresh.close()
    await this.log.catchUp()
    same(
      firstDifference(this.log.database.bytes(), bytes),
      undefined,
      `the pages in the log and in the plain file after ${when}`,
    )
  }

  /** Asserts that the file behind the mount equals the log between transactions, unless a WAL has the rest. */
  async compareBehind(when: string): Promise<void> {
    const behind = fs.readFileSync(this.behind)
    if (behind[READ_VERSION] === WAL_VERSION) return
    await this.log.catchUp()
    const committed = this.log.database.bytes()
    // After a savepoint was rolled back, SQLite may leave a page in the file that its header does not count.
    const isLonger = behind.length > committed.length && behind.length === sizeOf(this.paths[1])
    same(
      firstDifference(committed, isLonger ? behind.subarray(0, committed.length) : behind),
      undefined,
      `the log and the file behind the mount after ${when}`,
    )
  }

  /** Asserts, while no connection is open, that all four are equal, and have the same files beside them. */
  async compareClosed(when: string): Promise<void> {
    await settled(`${this.behind}-wal`)
    await this.log.catchUp()
    const [here, there] = this.paths.map((path) => fs.readFileSync(path)) as [Buffer, Buffer]
    same(firstDifference(here, there), undefined, `the file on the mount and the plain one, closed after ${when}`)
    same(
      firstDifference(here, fs.readFileSync(this.behind)),
      undefined,
      `the file behind the mount, closed after ${when}`,
    )
    same(firstDifference(here, this.log.database.bytes()), undefined, `the file and its log, closed after ${when}`)
    for (const suffix of ['-wal', '-shm', '-journal']) {
      const [ours, theirs] = this.paths.map((path) => sizeOf(path + suffix))
      same(ours, theirs, `the size of ${suffix}, closed after ${when}`)
    }
  }
}

/** Waits until the WAL is gone: ltxd may be in a checkpoint when the last application closes. */
async function settled(wal: string): Promise<void> {
  for (let i = 0; fs.existsSync(wal); i++) {
    if (i === 10_000) throw new Error(`${wal} still exists, although no connection has the database open`)
    await sleep(1)
  }
}

function sizeOf(path: string): number {
  return fs.statSync(path, { throwIfNoEntry: false })?.size ?? -1
}

/** The first difference; undefined if they are equal. */
function firstDifference(a: Buffer, b: Buffer): string | undefined {
  if (a.equals(b)) return undefined
  if (a.length !== b.length) return `${a.length} bytes and ${b.length} bytes`
  const at = a.findIndex((byte, i) => byte !== b[i])
  return `byte ${at}: ${a[at]} and ${b[at]}`
}

export function same<T>(actual: T, expected: T, what: string): void {
  if (actual !== expected)
    throw new Error(`${what} differs: ${String(actual)} on the mount, ${String(expected)} otherwise`)
}
