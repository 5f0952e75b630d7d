/**
 * What the tests of `apply` share: a source database that real SQLite writes, and each of its transactions as an LTX
 * file.
 */

import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { encode } from '../ltx/file.ts'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, lockPgno, type Position, toTXID } from '../ltx/format/types.ts'
import { compact } from '../ltx/merge/compactor.ts'
import { parseDatabaseHeader } from '../sqlite/database-header.ts'
import type { Positions } from './positions.ts'

export interface SourceState {
  readonly position: Position
  readonly image: Buffer
  /** The LTX file that leads from the previous state to this one. */
  readonly ltx: Uint8Array
}

/** A database and its history: its state after each commit. */
export class Source {
  readonly path: string
  database: Database.Database
  readonly states: SourceState[] = []

  constructor(path: string) {
    this.path = path
    this.database = new Database(path)
  }

  /** Runs SQL and records its changes as one transaction. undefined when it changed nothing. */
  commit(sql: string): SourceState | undefined {
    for (const statement of sql.split(';').filter((text) => text.trim() !== '')) {
      const pragma = /^\s*PRAGMA\s(.*)$/is.exec(statement)?.[1]
      if (pragma !== undefined) this.database.pragma(pragma)
      else this.database.exec(statement)
    }
    return this.note()
  }

  reopen(): void {
    this.database.close()
    this.database = new Database(this.path)
  }

  /** Records the current state as the next transaction. undefined when nothing changed. */
  note(image: Buffer = this.database.serialize()): SourceState | undefined {
    const before = this.states.at(-1)
    if (before === undefined ? image.length === 0 : before.image.equals(image)) return undefined
    const state = nextState(before, image)
    this.states.push(state)
    return state
  }

  /** The bytes of the file, after a complete checkpoint. */
  fileBytes(): Buffer {
    this.database.pragma('wal_checkpoint(TRUNCATE)')
    return readFileSync(this.path)
  }

  close(): void {
    this.database.close()
  }
}

function nextState(before: SourceState | undefined, image: Buffer): SourceState {
  const pageSize = parseDatabaseHeader(image.length === 0 ? (before?.image ?? image) : image)?.pageSize ?? 4096
  const beforePageSize = before === undefined ? 0 : parseDatabaseHeader(before.image)?.pageSize
  const txid = toTXID((before?.position.txid ?? 0n) + 1n)
  const commit = image.length / pageSize
  let checksum: Checksum = EMPTY_CHECKSUM
  const changed: [number, Uint8Array][] = []
  for (let pgno = 1; pgno <= commit; pgno++) {
    if (pgno === lockPgno(pageSize)) continue
    const page = image.subarray((pgno - 1) * pageSize, pgno * pageSize)
    checksum = foldChecksum(checksum, pageChecksum(pgno, page))
    const old = before?.image.subarray((pgno - 1) * pageSize, pgno * pageSize)
    if (beforePageSize !== pageSize || old === undefined || !page.equals(old)) changed.push([pgno, page])
  }
  const header = {
    flags: 0,
    pageSize,
    commit,
    minTXID: txid,
    maxTXID: txid,
    timestampMs: 1_780_000_000_000 + Number(txid),
    preApplyChecksum: before === undefined ? (0n as const) : before.position.checksum,
    walOffset: 0,
    walSize: 0,
    walSalt1: 0,
    walSalt2: 0,
    nodeId: 1n,
  }
  return { position: { txid, checksum }, image, ltx: encode(header, changed, checksum) }
}

/** Compacts consecutive transactions into one LTX file. */
export async function compacted(states: readonly SourceState[], noChecksum = false): Promise<Uint8Array> {
  const inputs = states.map(({ ltx }, i) => ({ name: String(i), open: () => chunksOf(ltx) }))
  const chunks: Uint8Array[] = []
  for await (const chunk of compact(inputs, { noChecksum })) chunks.push(chunk.slice())
  return Buffer.concat(chunks)
}

async function* chunksOf(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

/** Positions in memory. */
export class MemoryPositions implements Positions {
  readonly noted: Position[] = []

  get last(): Position | undefined {
    return this.noted.at(-1)
  }

  find(checksum: Checksum): Position | undefined {
    return this.noted.findLast((position) => position.checksum === checksum)
  }

  checksumAt(txid: bigint): Checksum | undefined {
    return this.noted.findLast((position) => position.txid === txid)?.checksum
  }

  note(position: Position): void {
    this.noted.push(position)
  }

  sync(): void {}
}
