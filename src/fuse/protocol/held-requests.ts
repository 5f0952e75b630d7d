/**
 * Requests that wait because it is not known yet whether they are rejected (UndecidedError). The kernel has no answer
 * to them, and nothing of them was carried out.
 */

import { OPCODE } from './kernel.ts'
import type { Request } from './request.ts'

/**
 * While one of these waits, the kernel keeps at most its own file locked. Whatever makes or removes a name keeps the
 * directory locked, and with it everybody who opens another file there.
 */
const MAY_WAIT: ReadonlySet<number> = new Set([OPCODE.OPEN, OPCODE.WRITE, OPCODE.SETATTR])
/** Each belongs to a thread of an application. What comes beyond that is rejected at once. */
const MAX_REQUESTS = 1024
const MAX_BYTES = 64 << 20

export class HeldRequests {
  readonly #waiting = new Map<number, Uint8Array>()
  readonly #decided: Uint8Array[] = []
  #bytes = 0

  /** Whether requests wait. */
  get any(): boolean {
    return this.#waiting.size > 0
  }

  /** Returns false for a request that cannot wait. */
  hold(request: Request): boolean {
    if (!MAY_WAIT.has(request.opcode) || this.#waiting.size >= MAX_REQUESTS) return false
    const message = request.copy()
    if (this.#bytes + message.length > MAX_BYTES) return false
    this.#bytes += message.length
    this.#waiting.set(request.unique, message)
    return true
  }

  /** A signal reached the caller: it waits no longer. Returns false where the request does not wait. */
  interrupt(unique: number): boolean {
    const message = this.#waiting.get(unique)
    if (message === undefined) return false
    this.#waiting.delete(unique)
    this.#bytes -= message.length
    return true
  }

  /** All of them can be decided now. `next` returns them in the order in which they came. */
  decide(): void {
    this.#decided.push(...this.#waiting.values())
    this.#waiting.clear()
    this.#bytes = 0
  }

  next(): Uint8Array | undefined {
    return this.#decided.shift()
  }
}
