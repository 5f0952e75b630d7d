import type { Position } from '../../ltx/format/types.ts'
import { DATABASE_WINDOW_BYTES } from '../wire/flow.ts'
import type { FrameWriter } from '../wire/frame-writer.ts'
import { encodeReplicaMessage, positionMessages } from '../wire/messages.ts'

/** So many consumed bytes are reported at once. */
const CREDIT_BYTES = DATABASE_WINDOW_BYTES / 8

/** What a replica tells its primary of each database: up to where it is applied, and what the sink has consumed. */
export class Reports {
  readonly #writer: FrameWriter
  readonly #connected: () => boolean
  readonly #acknowledgements = new Map<string, Position>()
  readonly #credits = new Map<string, number>()
  #flushing = false

  constructor(writer: FrameWriter, connected: () => boolean) {
    this.#writer = writer
    this.#connected = connected
  }

  /** Sent with the next flush. A newer position of the same database replaces it. */
  acknowledge(database: string, position: Position): void {
    this.#acknowledgements.set(database, position)
    this.schedule()
  }

  /** `isAll`: nothing that was received of the database is left to consume. */
  consumed(database: string, bytes: number, isAll: boolean): void {
    const credit = (this.#credits.get(database) ?? 0) + bytes
    this.#credits.set(database, credit)
    if (credit >= CREDIT_BYTES || isAll) this.schedule()
  }

  /** One flush for everything until the next turn of the event loop, and none while the connection is blocked. */
  schedule(): void {
    if (this.#flushing || !this.#connected() || this.#writer.blocked) return
    if (this.#acknowledgements.size === 0 && this.#credits.size === 0) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      if (this.#connected()) this.#flush()
    })
  }

  #flush(): void {
    const frames: Buffer[] = []
    for (const positions of positionMessages(this.#acknowledgements)) {
      frames.push(encodeReplicaMessage({ type: 'acknowledge', positions }))
    }
    for (const [database, bytes] of this.#credits)
      frames.push(encodeReplicaMessage({ type: 'credit', database, bytes }))
    this.#acknowledgements.clear()
    this.#credits.clear()
    if (frames.length > 0) this.#writer.writeNow(Buffer.concat(frames))
  }
}
