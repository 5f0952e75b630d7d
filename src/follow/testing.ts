import type { Source } from '../apply/testing.ts'
import type { LogRecord, LogView } from '../log/view.ts'
import { unmarshalHeader } from '../ltx/format/header.ts'
import { type Position, toTXID, type TXID } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM } from '../ltx/format/types.ts'

/** The log of a source database, as a node would have it. */
export class SourceLog implements LogView {
  readonly database: string
  readonly #source: Source

  constructor(database: string, source: Source) {
    this.database = database
    this.#source = source
  }

  async first(): Promise<TXID | undefined> {
    return this.#source.states.length === 0 ? undefined : toTXID(1)
  }

  position(): Position {
    return this.#source.states.at(-1)?.position ?? { txid: toTXID(0), checksum: EMPTY_CHECKSUM }
  }

  async sync(): Promise<Position> {
    return this.position()
  }

  durable(): Position {
    return this.position()
  }

  async *records(from: TXID, to: TXID): AsyncIterable<LogRecord> {
    for (const { position, ltx } of this.#source.states) {
      if (position.txid < from || position.txid > to) continue
      yield {
        header: unmarshalHeader(ltx),
        postApplyChecksum: position.checksum,
        sizeBytes: ltx.length,
        async *bytes() {
          yield ltx
        },
      }
    }
  }
}
