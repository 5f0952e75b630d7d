/** Milliseconds of CLOCK_MONOTONIC, which does not jump when the wall clock is set. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

/** The deadline of a lease that never expires. */
export const FOREVER_NS = 2n ** 63n - 1n

/** Converts a deadline to the unit of process.hrtime.bigint(). */
export function toNs(deadlineMs: number): bigint {
  return deadlineMs === Infinity ? FOREVER_NS : BigInt(Math.floor(deadlineMs * 1_000)) * 1_000n
}
