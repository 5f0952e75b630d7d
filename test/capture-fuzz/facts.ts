import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { databaseNameProblem } from '../../src/log/database-name.ts'
import { hasDatabaseMagic } from '../../src/sqlite/database-header.ts'
import { hasJournalMagic } from '../../src/sqlite/journal.ts'
import { type Answer, bytesOf } from './application.ts'
import type { Step } from './program.ts'

interface Connection {
  readonly name: string
  /** Its file has lost the name under which it was opened: it was removed, renamed or replaced. */
  isDisplaced: boolean
  /** The name that its file has now; undefined if it has none. */
  path: string | undefined
}

/** What a program has done so far, and what lies in the plain directory: it decides what may differ. */
export class Facts {
  readonly #directory: string
  readonly #names: readonly string[]
  readonly #connections = new Map<string, Connection>()
  /** No database can have one of the names. */
  readonly hasUnfitName: boolean
  /** journal_mode MEMORY or OFF was asked for. */
  asksForNoJournal = false
  /** mmap_size was asked for. */
  asksForMapping = false
  /** A checkpoint was asked to begin a WAL anew. */
  asksForRestart = false
  /** A file was removed, renamed or replaced while a connection had it open. */
  hasDisplaced = false
  /** The plain directory's WAL of a database was removed or left by a file operation. */
  hasLostWal = false
  hasDied = false
  #isLate = false
  /** The mount rejected what a program other than SQLite wrote into a file. */
  hasRejectedWrite = false
  /** A connection keeps its lock from one transaction to the next, and asks for no fsync. */
  #keepsLock = false
  #asksForNoSync = false

  /** `directory`: of the program, in the plain directory. */
  constructor(directory: string, names: readonly string[]) {
    this.#directory = directory
    this.#names = names
    this.hasUnfitName = names.some((name) => databaseNameProblem(name) !== undefined)
  }

  /** Notes a step that both sides have carried out. */
  note({ by, words }: Step, { code }: Answer): void {
    const [verb, slot, text = ''] = words
    const key = `${by}/${slot}`
    if (verb === 'open' && code === 0) this.#connections.set(key, { name: text, isDisplaced: false, path: text })
    if (verb === 'open' && words[4] === 'unix-excl') this.#keepsLock = true
    if (verb === 'sql' && /locking_mode = EXCLUSIVE/.test(text)) this.#keepsLock = true
    if (verb === 'sql' && /synchronous = OFF/.test(text)) this.#asksForNoSync = true
    if (verb === 'close') this.#connections.delete(key)
    if (verb === 'sql' && /journal_mode = (?:MEMORY|OFF)/.test(text)) this.asksForNoJournal = true
    if (verb === 'sql' && /mmap_size = [1-9]/.test(text)) this.asksForMapping = true
    if (verb === 'sql' && /wal_checkpoint\((?:RESTART|TRUNCATE)/.test(text)) this.asksForRestart = true
  }

  /**
   * Whether the log may lag behind the plain directory: what is written without a journal is captured when its writer
   * has closed it, or about a second later. While a transaction is under way that is not compared.
   */
  mayBeLate(isFileOperation: boolean, isWriting: boolean): boolean {
    const isLate = this.#isLate || isFileOperation || this.asksForNoJournal
    this.#isLate = isLate && isWriting
    return isLate
  }

  /** Returns whether SQLite has made a mapped file as long as a hint in the step says, although it was longer. */
  watchForCut({ words }: Step): () => boolean {
    if (words[0] !== 'control' || words[2] !== 'hint' || !this.asksForMapping) return () => false
    const sizes = () =>
      this.#names.map((name) => statSync(`${this.#directory}/${name}`, { throwIfNoEntry: false })?.size ?? 0)
    const before = sizes()
    return () => sizes().some((size, i) => size < (before[i] ?? 0))
  }

  /** The process has died; or all, with the node. */
  died(by?: number): void {
    this.hasDied = true
    for (const key of this.#connections.keys())
      if (by === undefined || key.startsWith(`${by}/`)) this.#connections.delete(key)
  }

  /** The file of the name was removed or replaced, or has the name `to` now. */
  displace(name: string, to?: string): void {
    for (const connection of this.#connections.values()) {
      if (connection.path !== name) continue
      connection.path = to
      connection.isDisplaced = this.hasDisplaced = true
    }
  }

  /** Whether the step writes to a file that was renamed, and that a connection has open from before. */
  isMoved({ by, words }: Step): boolean {
    const slots = words[0] === 'backup' ? words.slice(1, 3) : words.slice(1, 2)
    const paths = slots.map((slot) => this.#connections.get(`${by}/${slot}`)?.path)
    return [...this.#connections.values()].some((it) => it.isDisplaced && paths.includes(it.path))
  }

  get neverUnlocks(): boolean {
    return this.#keepsLock && this.#asksForNoSync
  }

  isOpen(name: string): boolean {
    return [...this.#connections.values()].some(({ path }) => path === name)
  }

  /** Whether a connection has it open, or a journal or WAL is left of one that died. */
  isInUse(name: string): boolean {
    return this.isOpen(name) || this.hasHotJournal(name) || this.sizeBytes(`${name}-wal`) > 0
  }

  get openConnections(): number {
    return this.#connections.size
  }

  /** Whether the file begins like a database. */
  isDatabase(name: string): boolean {
    return hasDatabaseMagic(this.#beginning(name))
  }

  hasHotJournal(name: string): boolean {
    return hasJournalMagic(this.#beginning(`${name}-journal`))
  }

  sizeBytes(name: string): number {
    return statSync(bytesOf(`${this.#directory}/${name}`), { throwIfNoEntry: false })?.size ?? 0
  }

  #beginning(name: string): Buffer {
    const bytes = Buffer.alloc(16)
    try {
      const fd = openSync(bytesOf(`${this.#directory}/${name}`), 'r')
      try {
        return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
      } finally {
        closeSync(fd)
      }
    } catch {
      return bytes.subarray(0, 0)
    }
  }
}
