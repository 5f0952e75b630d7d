/** Shared by the backup's tests: a database with a random history, generated without SQLite, seen through its log. */

import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { LogRecord, LogView } from '../log/view.ts'
import { encode } from '../ltx/file.ts'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import type { Header } from '../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, type Position, toTXID, type TXID } from '../ltx/format/types.ts'
import type { BackupLogger, Clock } from '../util/clock.ts'

export type Random = (below: number) => number

/** The Mulberry32 generator. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** Temporary directories that are removed after the tests of a file. */
export function temporaryDirectories(): () => Promise<string> {
  const made: string[] = []
  afterAll(() => Promise.all(made.map((path) => rm(path, { recursive: true, force: true }))))
  return async () => {
    const path = await mkdtemp(join(tmpdir(), 'ltxd-backup-'))
    made.push(path)
    return path
  }
}

/** A clock that the test moves. `advance` wakes sleepers; `stop` does not, like a stopped process. */
export class ManualClock implements Clock {
  ms = 1_780_000_000_000
  #sleepers: { readonly at: number; readonly wake: () => void }[] = []
  /** How far the wall clock is ahead. */
  skewMs = 0
  now = () => this.ms + this.skewMs
  monotonicMs = () => this.ms

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal?.reason as Error)
      if (signal?.aborted === true) return abort()
      signal?.addEventListener('abort', abort, { once: true })
      const wake = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      this.#sleepers.push({ at: this.ms + ms, wake })
    })
  }

  stop(ms: number): void {
    this.ms += ms
  }

  advance(ms: number): void {
    this.ms += ms
    const due = this.#sleepers.filter(({ at }) => at <= this.ms)
    this.#sleepers = this.#sleepers.filter(({ at }) => at > this.ms)
    for (const { wake } of due) wake()
  }
}

export const silent: BackupLogger = { debug() {}, info() {}, warn() {}, error() {} }

/** A database that commits random changes. It remembers every state, and its log holds every transaction. */
export class PlayedDatabase implements LogView {
  readonly database: string
  readonly #random: Random
  /** Index 0 is page 1. */
  pages: Uint8Array[] = []
  pageSize: number
  nowMs = 1_780_000_000_000
  /** The database file's content after each transaction; undefined after a drop. */
  readonly states = new Map<TXID, Buffer | undefined>()
  readonly checksums = new Map<TXID, Checksum>([[toTXID(0), EMPTY_CHECKSUM]])
  readonly times = new Map<TXID, number>()
  readonly #records = new Map<TXID, LogRecord>()
  #txid = toTXID(0)
  #first = toTXID(1)
  syncCount = 0
  /** Up to where a power loss takes nothing back; everything, unless a test says otherwise. */
  durableUpTo: Position | undefined

  constructor(database: string, random: Random, pageSize = 512) {
    this.database = database
    this.#random = random
    this.pageSize = pageSize
  }

  /** Commits random changes: pages change, pages are added, sometimes the database shrinks. */
  commit(times = 1): TXID {
    for (let i = 0; i < times; i++) {
      const before = this.pages.length
      const growth = this.#random(4) === 0 ? this.#random(9) - 4 : this.#random(2)
      const after = before === 0 ? 8 + this.#random(8) : Math.max(1, before + growth)
      const changed = new Set<number>()
      for (let pgno = before + 1; pgno <= after; pgno++) changed.add(pgno)
      const count = Math.min(after, 1 + this.#random(4))
      while (changed.size < count) changed.add(1 + this.#random(after))
      this.#write(after, changed)
    }
    return this.#txid
  }

  /** Rewrites every page, as VACUUM does after PRAGMA page_size. */
  changePageSize(pageSize: number): TXID {
    this.pageSize = pageSize
    const count = 1 + this.#random(6)
    this.pages = []
    this.#write(count, new Set(Array.from({ length: count }, (_, i) => i + 1)))
    return this.#txid
  }

  drop(): TXID {
    this.pages = []
    this.#append([], 0)
    return this.#txid
  }

  /** A second database that shares the history up to `at` and commits independently from there. */
  fork(at: TXID, random: Random): PlayedDatabase {
    const fork = new PlayedDatabase(this.database, random, this.pageSize)
    for (const [txid, record] of this.#records) if (txid <= at) fork.#records.set(txid, record)
    for (const [txid, state] of this.states) if (txid <= at) fork.states.set(txid, state)
    for (const [txid, checksum] of this.checksums) if (txid <= at) fork.checksums.set(txid, checksum)
    for (const [txid, time] of this.times) if (txid <= at) fork.times.set(txid, time)
    const image = this.states.get(at) ?? Buffer.alloc(0)
    for (let from = 0; from < image.length; from += this.pageSize) {
      fork.pages.push(new Uint8Array(image.subarray(from, from + this.pageSize)))
    }
    fork.#txid = at
    fork.#first = this.#first
    fork.nowMs = this.nowMs
    return fork
  }

  /** Removes old transactions, as log retention does. */
  cutLog(first: TXID): void {
    this.#first = first
  }

  /** The image of the newest state. */
  image(): Buffer {
    return Buffer.concat(this.pages)
  }

  /** A page of random bytes, half of it compressible. */
  page(): Uint8Array {
    const page = new Uint8Array(this.pageSize)
    for (let i = 0; i < page.length / 2; i++) page[i] = this.#random(256)
    return page
  }

  async first(): Promise<TXID | undefined> {
    return this.#first > this.#txid ? undefined : this.#first
  }

  position(): Position {
    return { txid: this.#txid, checksum: this.checksums.get(this.#txid) ?? EMPTY_CHECKSUM }
  }

  async sync(): Promise<Position> {
    this.syncCount++
    return this.position()
  }

  durable(): Position {
    return this.durableUpTo ?? this.position()
  }

  async *records(from: TXID, to: TXID): AsyncIterable<LogRecord> {
    if (from < this.#first) throw new Error(`the log begins at ${this.#first}, ${from} was asked for`)
    for (let txid = from; txid <= to; txid = toTXID(txid + 1n)) {
      const record = this.#records.get(txid)
      if (record === undefined) throw new Error(`the log ends before ${txid}`)
      yield record
    }
  }

  #write(count: number, changed: Set<number>): void {
    this.pages.length = Math.min(this.pages.length, count)
    const pgnos = [...new Set([1, ...changed])].filter((pgno) => pgno <= count).sort((a, b) => a - b)
    for (const pgno of pgnos) this.pages[pgno - 1] = this.page()
    // A SQLite header that is valid, and whose size field is current: change counter and version-valid-for agree.
    const header = Buffer.from(this.pages[0]!.buffer)
    header.write('SQLite format 3\0', 0, 'latin1')
    header.writeUInt16BE(this.pageSize, 16)
    header.set([1, 1, 0, 64, 32, 32], 18)
    header.writeUInt32BE(count, 24)
    header.writeUInt32BE(count, 28)
    header.writeUInt32BE(count, 92)
    this.#append(pgnos, count)
  }

  #append(pgnos: readonly number[], commit: number): void {
    const preApply = this.position().checksum
    this.#txid = toTXID(this.#txid + 1n)
    const txid = this.#txid
    let checksum: Checksum = EMPTY_CHECKSUM
    for (const [i, page] of this.pages.entries()) checksum = foldChecksum(checksum, pageChecksum(i + 1, page))
    const header: Header = {
      flags: 0,
      pageSize: this.pageSize,
      commit,
      minTXID: txid,
      maxTXID: txid,
      timestampMs: this.nowMs,
      preApplyChecksum: txid === 1n ? 0n : preApply,
      walOffset: 0,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 1n,
    }
    const bytes = encode(
      header,
      pgnos.map((pgno) => [pgno, this.pages[pgno - 1]!] as const),
      checksum,
    )
    this.#records.set(txid, {
      header,
      postApplyChecksum: checksum,
      sizeBytes: bytes.length,
      async *bytes() {
        for (let at = 0; at < bytes.length; at += 700) yield bytes.slice(at, at + 700)
      },
    })
    this.states.set(txid, commit === 0 ? undefined : this.image())
    this.checksums.set(txid, checksum)
    this.times.set(txid, this.nowMs)
  }
}

/** What happens to an object in a directory, as in "it has …". Each leaves bytes that are no LTX file's. */
export const DAMAGES: Readonly<Record<string, (path: string) => void>> = {
  'a flipped bit': (path) => {
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1]! ^= 0x10
    writeFileSync(path, bytes)
  },
  'half of its bytes': (path) => truncateSync(path, readFileSync(path).length >> 1),
  'no bytes': (path) => truncateSync(path, 0),
  'a page of HTML': (path) => writeFileSync(path, '<html><body>Log in to the network</body></html>'.repeat(9)),
}
