import fs from 'node:fs'
import { formatPosition } from '../../../src/ltx/format/types.ts'
import type { Files } from '../../../src/util/files.ts'
import { digest } from '../digest.ts'
import { InProcessNode } from './node-in-process.ts'
import type { Connection } from './sqlite-engine.ts'
import { SqliteEngine } from './sqlite-engine.ts'

/** An application that runs a script on a data plane in this process. */
export class Application {
  readonly node: InProcessNode
  /** The position reported as durable (I4), by database. */
  readonly durable = new Map<string, string>()
  #engine: SqliteEngine
  readonly #connections = new Map<string, Connection>()

  constructor(dataDir: string, files: Files) {
    this.node = new InProcessNode({ dataDir, files, segmentSizeBytes: 6_000 })
    this.#engine = this.#newEngine()
  }

  #newEngine(): SqliteEngine {
    return new SqliteEngine(this.node.mount, { seed: 1, sectorSizeBytes: 512 })
  }

  /** Runs SQL on a connection that stays open. */
  sql(sql: string, name = 'a.db'): void {
    this.#connection(name).exec(sql)
  }

  /** Runs SQL on a second connection, while the first is open. */
  beside(sql: string, name = 'a.db'): void {
    const connection = this.#engine.open(name)
    connection.exec(sql)
    connection.close()
  }

  close(): void {
    for (const [name, connection] of this.#connections) {
      this.#connections.delete(name)
      connection.close()
    }
  }

  /** Ends as a process does that is killed: its connections leave their side files. */
  crash(): void {
    for (const connection of this.#connections.values()) connection.kill()
    this.#connections.clear()
    this.#engine = this.#newEngine()
  }

  rename(from: string, to: string): void {
    this.node.mount.rename(from, to)
  }

  unlink(name: string): void {
    this.node.mount.unlink(name)
  }

  /** Copies a file in as cp does: creates it, writes it from start to end, and syncs it. */
  copyIn(bytes: Uint8Array, name: string, chunkSizeBytes: number): void {
    const file = this.node.mount.open(name, { create: true, exclusive: true, readOnly: false })
    for (let at = 0; at < bytes.length; at += chunkSizeBytes)
      file.write(bytes.subarray(at, at + chunkSizeBytes).slice(), at)
    file.sync()
    file.close()
    this.node.mount.syncDirectory('')
  }

  /** Syncs log and file, and records it, as the background maintenance does. */
  maintain(name = 'a.db'): void {
    this.syncLog(name)
    this.node.maintain(name)
  }

  /** Syncs the log, as the node does before it streams or uploads. */
  syncLog(name = 'a.db'): void {
    this.node.database(name).syncLog()
    this.durable.set(name, formatPosition(this.node.position(name)))
  }

  /** The last published position of each database. */
  published(): Map<string, string> {
    return new Map(this.node.published.map(({ name, position }) => [name, formatPosition(position)]))
  }

  /** The content of every database on the mount, as applications read it. */
  state(): string {
    const names = fs.readdirSync(this.node.root).filter((name) => name.endsWith('.db'))
    return describeState(names.map((name) => [name, digest((sql) => this.#connection(name).exec(sql))] as const))
  }

  #connection(name: string): Connection {
    let connection = this.#connections.get(name)
    if (connection === undefined) this.#connections.set(name, (connection = this.#engine.open(name)))
    return connection
  }
}

const EMPTY = digest(() => [])

/** The names and digests of databases as text, without empty databases. */
export function describeState(digests: Iterable<readonly [name: string, digest: string]>): string {
  const told = Array.from(digests).filter(([, it]) => it !== EMPTY)
  return told
    .map(([name, it]) => `${name} ${it}`)
    .sort()
    .join(', ')
}
