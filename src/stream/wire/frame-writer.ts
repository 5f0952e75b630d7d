import type { Writable } from 'node:stream'
import { StreamLostError } from './errors.ts'

/** Writes frames to a connection, one after another, no faster than the connection takes them. */
export class FrameWriter {
  readonly #output: Writable
  /** Those that wait for room. One is woken at a time: there may be one for each database. */
  readonly #waiting = new Set<() => void>()
  #blocked = false
  #blockedBeats = 0
  #ended: Error | undefined

  constructor(output: Writable) {
    this.#output = output
    output.on('drain', () => {
      this.#blocked = false
      this.#blockedBeats = 0
      this.#wakeNext()
    })
  }

  /** The other end reads more slowly than this one writes. */
  get blocked(): boolean {
    return this.#blocked
  }

  /**
   * Called at each heartbeat. Returns for how many heartbeats the other end has taken nothing of what waits. Heartbeats
   * are counted instead of time: a process that was itself suspended must not blame the other.
   */
  beat(): number {
    if (this.#blocked) this.#blockedBeats++
    return this.#blockedBeats
  }

  /** Waits until there is room, then writes. `check` runs right before, and may prevent the write by throwing. */
  async write(frame: Uint8Array, check?: () => void): Promise<void> {
    while (this.#blocked && this.#ended === undefined) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
    try {
      check?.()
      this.writeNow(frame)
    } finally {
      this.#wakeNext()
    }
  }

  /** Writes even without room: for small, rare frames. Throws StreamLostError. */
  writeNow(frame: Uint8Array): void {
    if (this.#ended !== undefined) throw this.#ended
    if (!this.#output.write(frame)) this.#blocked = true
  }

  /** Nothing more is written. Writers that wait get the error. */
  end(error: Error = new StreamLostError('the stream has ended')): void {
    this.#ended ??= error
    this.#wakeNext()
  }

  #wakeNext(): void {
    if (this.#blocked && this.#ended === undefined) return
    for (const wake of this.#waiting) {
      this.#waiting.delete(wake)
      wake()
      return
    }
  }
}
