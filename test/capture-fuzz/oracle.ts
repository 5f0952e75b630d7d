import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Checksum, formatPosition, type Position } from '../../src/ltx/format/types.ts'
import type { ReplayedDatabase } from '../harness/in-process/log-replay.ts'
import { replayLog } from '../harness/in-process/log-replay.ts'
import type { Application } from './application.ts'
import type { Bench } from './bench.ts'
import { type Committed, committedPages } from './committed.ts'
import { Finding } from './finding.ts'

/** What `check` of the application says of each database. */
type Seen = ReadonlyMap<string, string>

/** A new database without a journal is captured about a second after its last write. */
const LATE_MS = 5_000

/** Files that programs make beside their own databases. */
const OTHERS = ['c.db', 'moved.db', 'linked.db']

/** Compares the mount and the log with the plain directory. */
export class Oracle {
  readonly #bench: Bench
  readonly #folder: string
  readonly #names: readonly string[]
  /** The last committed pages, as far as they are known. */
  readonly #last = new Map<string, Committed | 'none'>()
  readonly #before = new Map<string, Committed | 'none'>()
  /** Each committed state since the file was made. */
  readonly #states = new Map<string, Set<Checksum>>()
  /** The log is ahead of this state: an application died between its commit and the wal-index. */
  readonly #ahead = new Map<string, Checksum | undefined>()
  comparisons = 0
  /** Comparisons of databases with the same content in other bytes. */
  unlike = 0

  constructor(bench: Bench, folder: string, names: readonly string[]) {
    this.#bench = bench
    this.#folder = folder
    this.#names = [...names, ...OTHERS]
  }

  /** Compares the position of each database with the pages that are committed in the plain directory. */
  async compare(isWriting: boolean, mayBeLate = false): Promise<void> {
    for (const name of this.#names) {
      const committed = committedPages(`${this.#bench.plain}/${this.#folder}/${name}`, isWriting)
      if (committed === 'unknown') continue
      const last = this.#last.get(name)
      this.#last.set(name, committed)
      if (last === undefined && committed === 'none') continue
      if (checksumOf(last) !== checksumOf(committed)) this.#before.set(name, last ?? 'none')
      await this.#comparePosition(name, committed, mayBeLate)
    }
  }

  /** From now on a log may be ahead of the database, until the next commit. */
  abandoned(): void {
    for (const [name, last] of this.#last) this.#ahead.set(name, checksumOf(last))
  }

  async #comparePosition(name: string, committed: Committed | 'none', mayBeLate: boolean): Promise<void> {
    // A database that was removed, and is made anew, has a log of its own.
    if (committed === 'none') return void this.#states.delete(name)
    const expected = committed.checksum
    const position = await this.#position(name, mayBeLate ? expected : undefined)
    this.comparisons++
    if (position?.checksum === expected) {
      await this.#bench.streamed(`${this.#folder}/${name}`, position)
      return this.#state(name, expected)
    }
    if (this.#ahead.has(name) && this.#ahead.get(name) === expected) return
    const { text, position: logged, isSame } = await this.#compareLog(name, committed)
    if (!isSame) throw new Finding('not in the log', `${name}: position ${show(position)}, ${text}`)
    if (logged !== position?.checksum)
      throw new Finding('a position that is not the log\u2019s', `${name}: ${show(position)}, ${text}`)
    this.unlike++
  }

  /** Waits for the position with the checksum `expected`, if there is one to wait for. */
  async #position(name: string, expected: Checksum | undefined): Promise<Position | undefined> {
    const path = `${this.#folder}/${name}`
    const until = performance.now() + LATE_MS
    for (;;) {
      const position = await this.#bench.position(path)
      if (expected === undefined || position?.checksum === expected || performance.now() > until) return position
      await sleep(20)
    }
  }

  #state(name: string, checksum: Checksum): void {
    const states = this.#states.get(name) ?? new Set()
    this.#states.set(name, states.add(checksum))
  }

  /** Compares what the log restores with committed pages: page by page, and as SQLite reads it. */
  async #compareLog(
    name: string,
    committed: Committed,
  ): Promise<{ text: string; position: Checksum | undefined; isSame: boolean }> {
    const log = this.#replay(name)
    const [ours, theirs] = [log?.bytes() ?? Buffer.alloc(0), committed.bytes]
    const size = committed.pageSize
    const differing = Array.from({ length: Math.max(ours.length, theirs.length) / size }, (_, i) => i + 1).filter(
      (pgno) => !ours.subarray((pgno - 1) * size, pgno * size).equals(theirs.subarray((pgno - 1) * size, pgno * size)),
    )
    const text = `the log has ${log?.commit ?? 0} pages of ${log?.pageSize ?? 0} bytes after ${log?.txid ?? 0}, SQLite ${theirs.length / size} of ${size}; pages ${differing.slice(0, 12).join(', ')} differ`
    const [restored, expected] = [await this.#digest(ours), await this.#digest(theirs)]
    const isSame = restored === expected
    return { text: `${text}; ${restored}, expected ${expected}`, position: log?.checksum, isSame }
  }

  /** What each database holds on the mount; undefined if another connection keeps it from being read. */
  async seen(): Promise<Seen | undefined> {
    return this.#seenBy(this.#bench.watcher)
  }

  /** Whether every database on the mount holds what was last committed before the step under way. */
  async isUnchanged(seen: Seen): Promise<boolean> {
    for (const [name, text] of seen) {
      const last = this.#last.get(name) ?? 'none'
      if (text !== (await this.#digestOf(last))) return false
    }
    return true
  }

  /** Whether the plain directory holds the same. */
  async isSame(seen: Seen): Promise<boolean> {
    const theirs = await this.#seenBy(this.#bench.helper)
    return theirs !== undefined && [...seen].every(([name, text]) => theirs.get(name) === text)
  }

  /** Whether each database holds either what was committed before, or what the plain directory has. */
  async explainsMix(seen: Seen): Promise<boolean> {
    const theirs = await this.#seenBy(this.#bench.helper)
    for (const [name, text] of seen) {
      const possible = [
        theirs?.get(name),
        await this.#digestOf(this.#last.get(name) ?? 'none'),
        await this.#digestOf(this.#before.get(name) ?? 'none'),
      ]
      // A file that was to become a database, and whose first page was rejected, is none.
      const hasNone = text.startsWith(NO_DATABASE) && (this.#last.get(name) ?? 'none') === 'none'
      if (!possible.includes(hasNone ? NOTHING : text)) return false
    }
    return true
  }

  async difference(): Promise<string> {
    const [ours, theirs] = [await this.#seenBy(this.#bench.watcher, true), await this.#seenBy(this.#bench.helper, true)]
    const rows = this.#names.map((name) => [name, ours?.get(name), theirs?.get(name)] as const)
    const lines = rows.map(([name, a, b]) => `${name}: on the mount ${a}, otherwise ${b}`)
    return lines.filter((_, i) => rows[i]?.[1] !== rows[i]?.[2]).join('\n') || lines.join('\n')
  }

  /** At the end: each log restores what SQLite reads on the mount, and has every committed state. */
  async compareLogs(): Promise<void> {
    const seen = await this.#seenBy(this.#bench.watcher)
    for (const [name, text] of seen ?? []) {
      if (text === NOTHING || text.startsWith(NO_DATABASE)) continue
      const checksums = new Set<Checksum>()
      const log = this.#replay(name, (checksum) => checksums.add(checksum))
      const restored = await this.#digest(log?.bytes() ?? Buffer.alloc(0))
      if (restored !== text)
        throw new Finding('not in the log', `${name}: the log restores ${restored}, the mount ${text}`)
      const missing = [...(this.#states.get(name) ?? [])].filter((state) => !checksums.has(state))
      if (missing.length > 0) throw new Finding('a state is missing in the log', `${name}: ${missing.length} states`)
    }
  }

  #replay(name: string, visit: (checksum: Checksum) => void = () => undefined): ReplayedDatabase | undefined {
    try {
      return replayLog(this.#bench.data, `${this.#folder}/${name}`, (database) => visit(database.checksum))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'DATABASE_NAME_INVALID') return undefined
      throw error
    }
  }

  async #seenBy(application: Application, always = false): Promise<Seen | undefined> {
    const seen = new Map<string, string>()
    for (const name of this.#names) {
      const { code, text } = await application.ask(['check', `${this.#folder}/${name}`])
      if (code === 5 && !always) return undefined
      seen.set(name, code !== 0 ? `error ${code}: ${text}` : text === 'absent' ? NOTHING : text)
    }
    return seen
  }

  async #digestOf(committed: Committed | 'none'): Promise<string> {
    return committed === 'none' ? NOTHING : this.#digest(committed.bytes)
  }

  /** What `check` says of a file with these bytes. */
  async #digest(bytes: Buffer): Promise<string> {
    if (bytes.length === 0) return NOTHING
    const { scratch, helper } = this.#bench
    for (const file of readdirSync(scratch)) rmSync(join(scratch, file))
    writeFileSync(join(scratch, 'x.db'), bytes)
    const { code, text } = await helper.ask(['check', join(scratch, 'x.db')])
    return code === 0 ? text : `error ${code}: ${text}`
  }
}

const NOTHING = 'no content'
/** SQLITE_NOTADB: a file of other bytes. */
const NO_DATABASE = 'error 26:'

function checksumOf(committed: Committed | 'none' | undefined): Checksum | undefined {
  return committed === undefined || committed === 'none' ? undefined : committed.checksum
}

function show(position: Position | undefined): string {
  return position === undefined ? 'none' : formatPosition(position)
}
