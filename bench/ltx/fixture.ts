import { closeSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { compressSync } from 'lz4-napi'
import { Encoder } from '../../src/ltx/codec/encoder.ts'
import type { Header } from '../../src/ltx/format/header.ts'
import { PAGE_SIZE } from './cost.ts'
import { changeHeader } from './fixture-files.ts'

/** The files for the LTX rows. */
export interface Fixture {
  readonly database: string
  readonly pageCount: number
  readonly snapshot: string
  readonly transactions: readonly string[]
  readonly pagesEach: number
  /** Every STRIDE-th page as an LZ4 block, after its size. */
  readonly blocks: string
}

export interface FixtureSize {
  readonly pageCount: number
  readonly transactions: number
  readonly pagesEach: number
}

/** The size in the goals: 950 MB of pages, half of that as a snapshot. */
export const FULL_SIZE: FixtureSize = { pageCount: 232_000, transactions: 300, pagesEach: 200 }
/** 58 pages apart: four thousand samples, more than any cache holds. */
export const STRIDE = 58

/** Makes the files, the same at each call. README.md describes the pages. */
export function makeFixture(directory: string, size: FixtureSize, progress: (text: string) => void): Fixture {
  mkdirSync(directory, { recursive: true })
  const { pageCount } = size
  const database = join(directory, 'database.db')
  progress('making a database')
  writeDatabase(database, pageCount)
  const pages = new PageReader(database)
  progress('making a snapshot')
  const snapshot = join(directory, '1.ltx')
  writeFile(snapshot, changeHeader(1, pageCount), range(pageCount), (pgno) => pages.read(pgno))
  const random = randomNumbers(7)
  const transactions = Array.from({ length: size.transactions }, (_, index) => {
    progress(`making transaction ${index + 1} of ${size.transactions}`)
    const path = join(directory, `${index + 2}.ltx`)
    const pgnos = new Set<number>()
    while (pgnos.size < size.pagesEach) pgnos.add(1 + (random() % pageCount))
    const sorted = [...pgnos].sort((a, b) => a - b)
    writeFile(path, changeHeader(index + 2, pageCount), sorted, (pgno) => changed(pages.read(pgno), random))
    return path
  })
  const blocks = join(directory, 'blocks')
  writeBlocks(blocks, pages, pageCount)
  pages.close()
  return { database, pageCount, snapshot, transactions, pagesEach: size.pagesEach, blocks }
}

/** A table of events with an index: names, times, JSON, and incompressible tokens. */
function writeDatabase(path: string, pageCount: number): void {
  const db = new Database(path)
  db.pragma(`page_size = ${PAGE_SIZE}`)
  db.pragma('journal_mode = off')
  db.pragma('synchronous = off')
  db.exec('CREATE TABLE events (id INTEGER PRIMARY KEY, user TEXT, at TEXT, kind TEXT, detail TEXT, token BLOB)')
  const insert = db.prepare('INSERT INTO events (user, at, kind, detail, token) VALUES (?, ?, ?, ?, ?)')
  const size = db.prepare<[], number>('PRAGMA page_count').pluck()
  const random = randomNumbers(1)
  const kinds = ['page.viewed', 'order.placed', 'order.paid', 'session.started', 'item.added']
  const token = Buffer.alloc(48)
  let time = 1_600_000_000_000
  const batch = db.transaction(() => {
    for (let i = 0; i < 5_000; i++) {
      const user = random()
      time += random() % 5_000
      for (let at = 0; at < token.length; at += 4) token.writeUInt32LE(random(), at)
      insert.run(
        `user-${(user % 100_000).toString(36)}@example.com`,
        new Date(time).toISOString(),
        kinds[user % kinds.length],
        JSON.stringify({
          path: `/shop/${random() % 5000}/${random() % 100}`,
          ms: random() % 900,
          amount: user % 20_000,
        }),
        token,
      )
    }
  })
  // The index is a fifth of the database. Creating it last is faster.
  while (size.get()! < pageCount * 0.8) batch()
  db.exec('CREATE INDEX by_user ON events (user, at)')
  while (size.get()! < pageCount) batch()
  db.close()
  const fd = openSync(path, 'r+')
  ftruncateSync(fd, pageCount * PAGE_SIZE)
  closeSync(fd)
}

/** Changes a few values of the page. */
function changed(page: Buffer, random: () => number): Buffer {
  for (let change = 0; change < 4; change++) page.writeUInt32LE(random(), random() % (PAGE_SIZE - 4))
  return page
}

function writeFile(path: string, header: Header, pgnos: Iterable<number>, read: (pgno: number) => Uint8Array): void {
  const fd = openSync(path, 'w')
  const encoder = new Encoder(header, (chunk) => {
    for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at, chunk.length - at)
  })
  for (const pgno of pgnos) encoder.writePage(pgno, read(pgno))
  encoder.finish(0n)
  closeSync(fd)
}

function writeBlocks(path: string, pages: PageReader, pageCount: number): void {
  const fd = openSync(path, 'w')
  for (let pgno = 1; pgno <= pageCount; pgno += STRIDE) {
    // lz4-napi puts the page size in four bytes before the block. Replace it with the size of the block.
    const block = compressSync(pages.read(pgno))
    block.writeUInt32BE(block.length - 4)
    writeSync(fd, block)
  }
  closeSync(fd)
}

class PageReader {
  readonly #fd: number
  readonly #page = Buffer.alloc(PAGE_SIZE)

  constructor(path: string) {
    this.#fd = openSync(path, 'r')
  }

  /** Each page is valid until the next one. */
  read(pgno: number): Buffer {
    readSync(this.#fd, this.#page, 0, PAGE_SIZE, (pgno - 1) * PAGE_SIZE)
    return this.#page
  }

  close(): void {
    closeSync(this.#fd)
  }
}

function* range(count: number): Iterable<number> {
  for (let n = 1; n <= count; n++) yield n
}

/** Whole numbers below 2^32, xorshift. */
function randomNumbers(seed: number): () => number {
  let state = seed * 0x9e3779b1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}
