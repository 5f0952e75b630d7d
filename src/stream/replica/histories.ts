import pLimit from 'p-limit'
import type { Position } from '../../ltx/format/types.ts'
import { StreamProtocolError } from '../wire/errors.ts'
import type { FrameWriter } from '../wire/frame-writer.ts'
import { encodeReplicaMessage, MAX_HISTORY, MAX_NAMES } from '../wire/messages.ts'

/** The histories for which the primary asks. I10: one is held at a time, until there is room to write it. */
export class Histories {
  readonly #read: (database: string) => Promise<readonly Position[]>
  readonly #writer: FrameWriter
  readonly #oneAtATime = pLimit(1)
  /** They are asked for, and not written yet. */
  readonly #asked = new Set<string>()

  constructor(read: (database: string) => Promise<readonly Position[]>, writer: FrameWriter) {
    this.#read = read
    this.#writer = writer
  }

  /** Rejects when the history cannot be read here, with StreamLostError, or StreamProtocolError. */
  async send(database: string): Promise<void> {
    if (this.#asked.has(database)) return
    if (this.#asked.size >= MAX_NAMES) throw new StreamProtocolError('too many histories were requested')
    this.#asked.add(database)
    try {
      await this.#oneAtATime(async () => {
        const positions = (await this.#read(database)).slice(0, MAX_HISTORY)
        await this.#writer.write(encodeReplicaMessage({ type: 'history', database, positions }))
      })
    } finally {
      this.#asked.delete(database)
    }
  }
}
