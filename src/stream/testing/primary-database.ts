import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { openLog } from '../../log/open.ts'
import { LogReader } from '../../log/reader.ts'
import { createLog, ZERO_POSITION } from '../../log/store.ts'
import type { LogView } from '../../log/view.ts'
import type { LogWriter } from '../../log/writer.ts'
import type { Header } from '../../ltx/format/header.ts'
import type { Position } from '../../ltx/format/types.ts'
import { nextTXID } from '../../ltx/format/types.ts'
import { nodeFiles } from '../../util/files.ts'
import { filesBeneath } from '../../util/files-beneath.ts'
import type { StreamedDatabase } from '../primary/source.ts'
import { PageSums } from './page-sums.ts'

export const PAGE_SIZE = 1024

/** A database file that SQLite writes; each transaction goes into a log, as a data plane would put it there. */
export class PrimaryDatabase implements StreamedDatabase {
  readonly name: string
  readonly filePath: string
  readonly logDir: string
  writer: LogWriter
  readonly positions: Position[] = []
  readonly #published: () => void
  readonly #segmentSizeBytes: number
  #sqlite: Sqlite.Database
  #pages: Buffer[] = []
  #sums = new PageSums()
  log: LogView

  constructor(dir: string, name: string, published: () => void, segmentSizeBytes = 1 << 20) {
    this.name = name
    this.filePath = join(dir, 'files', name)
    this.logDir = join(dir, 'log', `${name}.ltx`)
    this.#published = published
    this.#segmentSizeBytes = segmentSizeBytes
    mkdirSync(dirname(this.filePath), { recursive: true })
    createLog(nodeFiles, this.logDir, ZERO_POSITION)
    this.writer = openLog(nodeFiles, this.logDir, { segmentSizeBytes })
    this.log = new LogReader(filesBeneath(this.logDir), name, this.logDir, () => this.writer.position)
    this.#sqlite = new Sqlite(this.filePath)
    this.#sqlite.pragma(`page_size = ${PAGE_SIZE}`)
    this.#sqlite.pragma('synchronous = OFF')
    this.#createTable()
  }

  get position(): Position {
    return this.writer.position
  }

  get image(): Buffer {
    return Buffer.concat(this.#pages)
  }

  /** One transaction. */
  execute(sql: string, ...values: unknown[]): Position {
    this.#sqlite.prepare(sql).run(...values)
    this.#capture(readFileSync(this.filePath))
    return this.position
  }

  /** How long ago the next transactions were committed. */
  ageMs = 0

  commit(count = 1, sizeBytes = 100): Position {
    for (let i = 0; i < count; i++) this.execute('INSERT INTO t (v) VALUES (randomblob(?))', sizeBytes)
    return this.position
  }

  drop(): Position {
    this.#sqlite.close()
    rmSync(this.filePath)
    this.#capture(Buffer.alloc(0))
    return this.position
  }

  recreate(): Position {
    this.#sqlite = new Sqlite(this.filePath)
    this.#sqlite.pragma(`page_size = ${PAGE_SIZE}`)
    this.#sqlite.pragma('synchronous = OFF')
    return this.#createTable()
  }

  /** As retention does. */
  removeSegments(keep = 1): void {
    const names = nodeFiles.list(this.logDir).filter((name) => name.endsWith('.ltxlog'))
    for (const name of names.sort().slice(0, names.length - keep)) rmSync(`${this.logDir}/${name}`)
  }

  /** Puts another log in its place: empty, beginning at `base`. The pages stay. */
  rebase(base: Position): void {
    this.writer.close()
    rmSync(this.logDir, { recursive: true })
    createLog(nodeFiles, this.logDir, base)
    this.writer = openLog(nodeFiles, this.logDir, { segmentSizeBytes: this.#segmentSizeBytes })
  }

  close(): void {
    this.writer.close()
    this.#sqlite.close()
  }

  /** No two databases begin alike. */
  #createTable(): Position {
    return this.execute(`CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, note TEXT DEFAULT '${randomUUID()}')`)
  }

  #capture(file: Buffer): void {
    const before = this.#pages
    const after: Buffer[] = []
    for (let at = 0; at < file.length; at += PAGE_SIZE) after.push(file.subarray(at, at + PAGE_SIZE))
    const { txid, checksum } = this.position
    const next = nextTXID(txid)
    const header: Header = {
      flags: 0,
      pageSize: PAGE_SIZE,
      commit: after.length,
      minTXID: next,
      maxTXID: next,
      timestampMs: Date.now() - this.ageMs,
      preApplyChecksum: txid === 0n ? 0n : checksum,
      walOffset: 0,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 7n,
    }
    const { position } = this.writer.append(header, (encoder) => {
      after.forEach((page, i) => {
        if (before[i]?.equals(page) === true) return
        encoder.writePage(i + 1, page)
        this.#sums.set(i + 1, page)
      })
      return this.#sums.truncate(after.length)
    })
    this.#pages = after
    this.positions.push(position)
    this.#published()
  }
}
