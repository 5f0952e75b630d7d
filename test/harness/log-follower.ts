import assert from 'node:assert/strict'
import { inspectLog } from '../../src/log/open.ts'
import { LogReader } from '../../src/log/reader.ts'
import { logDirectory } from '../../src/log/store.ts'
import { decode } from '../../src/ltx/file.ts'
import { nextTXID } from '../../src/ltx/format/types.ts'
import { nodeFiles } from '../../src/util/files.ts'
import { filesBeneath } from '../../src/util/files-beneath.ts'
import { ReplayedDatabase } from './in-process/log-replay.ts'

/**
 * Follows the log of a running node in its data directory, transaction by transaction. Nothing may write to the
 * database meanwhile, because the end of the log counts as the node's position.
 */
export class LogFollower {
  readonly database = new ReplayedDatabase()
  readonly #dir: string
  readonly #reader: LogReader

  constructor(dataDir: string, name: string) {
    this.#dir = logDirectory(dataDir, name)
    this.#reader = new LogReader(filesBeneath(this.#dir), name, this.#dir, () => inspectLog(nodeFiles, this.#dir).last)
  }

  async catchUp(): Promise<void> {
    const { database } = this
    const reader = this.#reader
    const position = reader.position()
    if (position.txid === database.txid) return
    for await (const record of reader.records(nextTXID(database.txid), position.txid)) {
      const chunks: Uint8Array[] = []
      for await (const chunk of record.bytes()) chunks.push(chunk.slice())
      const { header, pages } = decode(Buffer.concat(chunks))
      database.apply(header, pages)
    }
    assert.equal(database.txid, position.txid, 'the follower has read the last transaction')
    assert.equal(database.computeChecksum(), position.checksum, 'the followed pages have the checksum of the position')
  }
}
