import { Random } from '../harness/random.ts'

/** Random choices that a seed replays. */
export class Chance extends Random {
  /** True with a probability of one in so many. */
  oneIn(times: number): boolean {
    return this.next() * times < 1
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)]!
  }

  u32(): number {
    return this.integer(0, 0xffffffff)
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32())
  }

  bytes(size: number): Uint8Array {
    const bytes = new Uint8Array(size)
    for (let at = 0; at < size; at++) bytes[at] = this.integer(0, 255)
    return bytes
  }

  /** Numbers at limits, and others. */
  number(near: number): number {
    const choices = [0, 1, 2, near - 1, near, near + 1, 2 * near, 0x7fffffff, 0x80000000, 0xffffffff, this.u32()]
    return this.pick(choices) >>> 0
  }

  bigint(near: bigint): bigint {
    const edges = [0n, 1n, 2n, 1n << 31n, 1n << 32n, 1n << 53n, (1n << 53n) - 1n, (1n << 53n) + 1n, 1n << 63n]
    const choices = [...edges, (1n << 63n) - 1n, (1n << 64n) - 1n, near - 1n, near, near + 1n, near ^ (1n << 63n)]
    return BigInt.asUintN(64, this.oneIn(8) ? this.u64() : this.pick(choices))
  }
}
