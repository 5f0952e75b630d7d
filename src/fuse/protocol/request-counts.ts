import { OPCODE, type OpcodeName } from './kernel.ts'

const OPCODES = 64

/** How many requests of each kind the kernel has sent. Written by the thread that serves the mount, read by any. */
export class RequestCounts {
  static readonly sizeBytes = OPCODES * Float64Array.BYTES_PER_ELEMENT
  readonly #counts: Float64Array

  /** `at`: bytes into `buffer`, a multiple of 8. */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(RequestCounts.sizeBytes), at = 0) {
    this.#counts = new Float64Array(buffer, at, OPCODES)
  }

  add(opcode: number): void {
    if (opcode < OPCODES) (this.#counts[opcode] as number)++
  }

  /** The counts above 0, by the opcode's name. */
  byName(): Partial<Record<OpcodeName, number>> {
    const counts: Partial<Record<OpcodeName, number>> = {}
    for (const [name, opcode] of Object.entries(OPCODE)) {
      const count = this.#counts[opcode] as number
      if (count > 0) counts[name as OpcodeName] = count
    }
    return counts
  }
}
