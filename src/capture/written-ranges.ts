/** Beyond this many parts that do not touch, `add` takes no further one: 1 MiB, whatever a program writes (I10). */
export const MAX_RANGES = 1 << 16

/** Which bytes of a file were written, as ranges that do not touch, ascending. A write costs a search by bisection. */
export class WrittenRanges {
  /** Range n begins at starts[n] and ends before ends[n]. */
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  get count(): number {
    return this.#starts.length
  }

  /** Whether the ranges are one, from 0 to `sizeBytes`. */
  isAll(sizeBytes: number): boolean {
    return this.count === 1 && this.#starts[0] === 0 && this.#ends[0] === sizeBytes
  }

  /** False if that would be one range too many; then nothing has changed. */
  add(start: number, end: number): boolean {
    if (start >= end) return true
    const first = lowerBound(this.#ends, start)
    const after = lowerBound(this.#starts, end + 1)
    if (first === after) {
      if (this.count >= MAX_RANGES) return false
      this.#starts.splice(first, 0, start)
      this.#ends.splice(first, 0, end)
      return true
    }
    this.#starts[first] = Math.min(this.#starts[first] as number, start)
    this.#ends[first] = Math.max(this.#ends[after - 1] as number, end)
    this.#starts.splice(first + 1, after - first - 1)
    this.#ends.splice(first + 1, after - first - 1)
    return true
  }

  /** The file was truncated: nothing from `sizeBytes` on was written. */
  cut(sizeBytes: number): void {
    const left = lowerBound(this.#starts, sizeBytes)
    this.#starts.length = this.#ends.length = left
    if (left > 0) this.#ends[left - 1] = Math.min(this.#ends[left - 1] as number, sizeBytes)
  }
}

/** The index of the first of the ascending `values` that is at least `value`. */
function lowerBound(values: readonly number[], value: number): number {
  let low = 0
  for (let high = values.length; low < high;) {
    const middle = (low + high) >> 1
    if ((values[middle] as number) < value) low = middle + 1
    else high = middle
  }
  return low
}
