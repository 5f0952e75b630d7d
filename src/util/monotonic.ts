/** Of a clock that does not jump when the one on the wall is set. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

/** Where the deadline of a lease without end lies. */
const FOREVER_NS = 2n ** 63n - 1n

/** As process.hrtime.bigint() tells it. */
export function toNs(deadlineMs: number): bigint {
  return deadlineMs === Infinity ? FOREVER_NS : BigInt(Math.floor(deadlineMs * 1_000)) * 1_000n
}
