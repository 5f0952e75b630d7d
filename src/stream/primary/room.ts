import { unlessAborted } from '../../util/waits.ts'

export interface RoomLimits {
  readonly count: number
  /** One entrant may exceed it, if it is the only one. */
  readonly sizeBytes: number
}

export interface Admission {
  /** Returns what is no longer needed. */
  shrinkTo(sizeBytes: number): void
  leave(): void
}

interface Waiting {
  readonly sizeBytes: number
  enter(): void
}

/** Admits a bounded number with a bounded number of bytes. The others wait, and enter in the order they came. */
export class Room {
  readonly #limits: RoomLimits
  readonly #waiting: Waiting[] = []
  #count = 0
  #sizeBytes = 0

  constructor(limits: RoomLimits) {
    this.#limits = limits
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Throws the reason of `signal`. */
  async enter(sizeBytes: number, signal: AbortSignal): Promise<Admission> {
    signal.throwIfAborted()
    const waiting: Waiting = { sizeBytes, enter: () => undefined }
    const entered = new Promise<void>((resolve) => (waiting.enter = resolve))
    this.#waiting.push(waiting)
    this.#admit()
    try {
      await unlessAborted(signal, entered)
    } catch (error) {
      const at = this.#waiting.indexOf(waiting)
      if (at >= 0) this.#waiting.splice(at, 1)
      else this.#admission(sizeBytes).leave()
      this.#admit()
      throw error
    }
    return this.#admission(sizeBytes)
  }

  #admission(sizeBytes: number): Admission {
    let heldBytes = sizeBytes
    return {
      shrinkTo: (keptBytes) => {
        this.#sizeBytes -= heldBytes - keptBytes
        heldBytes = keptBytes
        this.#admit()
      },
      leave: () => {
        this.#count--
        this.#sizeBytes -= heldBytes
        heldBytes = 0
        this.#admit()
      },
    }
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first); first = this.#waiting[0]) {
      this.#waiting.shift()
      this.#count++
      this.#sizeBytes += first.sizeBytes
      first.enter()
    }
  }

  #fits({ sizeBytes }: Waiting): boolean {
    if (this.#count === 0) return true
    return this.#count < this.#limits.count && this.#sizeBytes + sizeBytes <= this.#limits.sizeBytes
  }
}
