import assert from 'node:assert/strict'
import fs from 'node:fs'
import { FsError } from '../../../src/fuse/errno.ts'
import { formatPosition } from '../../../src/ltx/format/types.ts'
import { native } from '../../../src/util/path-bytes.ts'
import type { Operation } from './capture-mount.ts'
import type { ReplayedDatabase } from './log-replay.ts'
import { replayLog } from './log-replay.ts'
import type { InProcessOptions } from './node-in-process.ts'
import { InProcessNode, temporaryDirectory } from './node-in-process.ts'
import { observe } from './observer.ts'
import type { Connection } from './sqlite-engine.ts'
import { SqliteEngine } from './sqlite-engine.ts'

/** A node in a new directory, with an application. */
export class Rig implements Disposable {
  readonly dir: string
  readonly node: InProcessNode
  readonly engine: SqliteEngine
  readonly #temporary: { dir: string } & Disposable

  /** Starts with a copy of the data directory `from`, if given. */
  constructor(options: Omit<InProcessOptions, 'dataDir'> = {}, from?: string) {
    this.#temporary = temporaryDirectory()
    this.dir = this.#temporary.dir
    if (from !== undefined) fs.cpSync(from, this.dir, { recursive: true })
    this.node = new InProcessNode({ ...options, dataDir: this.dir })
    this.engine = new SqliteEngine(this.node.mount, { seed: 1 })
  }

  /** Opens a connection to a new database with one table, `t (a, b)`, of `rows` rows. */
  open(journalMode: string, rows = 10, name = 'a.db'): Connection {
    const connection = this.engine.open(name)
    connection.exec(`PRAGMA page_size = 1024; PRAGMA journal_mode = ${journalMode}`)
    connection.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b)')
    connection.exec(insert(1, rows))
    return connection
  }

  txid(name = 'a.db'): number {
    return Number(this.node.position(name).txid)
  }

  backing(name: string): Buffer {
    return fs.readFileSync(native(`${this.node.root}/${name}`))
  }

  /** Carries out the next operation that `chosen` selects, then reports it to the application as failed. */
  failAfter(chosen: (operation: Operation) => boolean): void {
    const { mount } = this.node
    mount.after = (operation) => {
      if (!chosen(operation)) return
      mount.after = () => {}
      throw new FsError('EIO', 'reported as failed after the operation was carried out')
    }
  }

  /** Reports the write that advances the node's position as failed. */
  failAfterCapture(name = 'a.db'): void {
    const before = this.txid(name)
    this.failAfter(({ kind }) => kind === 'write' && this.txid(name) > before)
  }

  /** Asserts that SQLite, the node and the log agree on the database's state. */
  consistent(name = 'a.db'): ReplayedDatabase {
    const replayed = replayLog(this.dir, name)
    assert.equal(formatPosition(replayed), formatPosition(this.node.position(name)))
    if (replayed.commit > 0) assert.equal(observe(this.engine, name).checksum, replayed.checksum)
    return replayed
  }

  [Symbol.dispose](): void {
    this.node.close()
    this.#temporary[Symbol.dispose]()
  }
}

/** A statement that inserts the rows `from` to `to`. */
export function insert(from: number, to: number, text = 'row'): string {
  return (
    `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${to}) ` +
    `INSERT INTO t SELECT i, '${text} ' || i || replace(hex(zeroblob(40)), '00', 'ab') FROM n`
  )
}
