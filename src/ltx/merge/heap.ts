/**
 * Finds the input with the smallest page number, and among equal ones the newest: that with the highest index. Uses
 * typed arrays, because it runs for every page of a merge.
 */
export class InputHeap {
  size = 0
  readonly #inputs: Int32Array
  /** Page number of each input. */
  readonly #pgnos: Float64Array

  constructor(inputCount: number) {
    this.#inputs = new Int32Array(inputCount)
    this.#pgnos = new Float64Array(inputCount)
  }

  /** The first input. The heap must not be empty, here and below. */
  get first(): number {
    return this.#inputs[0]!
  }

  /** Its page number. */
  get firstPgno(): number {
    return this.#pgnos[this.#inputs[0]!]!
  }

  /** Adds an input, which must not be in the heap. */
  push(input: number, pgno: number): void {
    this.#pgnos[input] = pgno
    const inputs = this.#inputs
    let at = this.size++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#before(input, inputs[parent]!)) break
      inputs[at] = inputs[parent]!
      at = parent
    }
    inputs[at] = input
  }

  /** Removes the first input. */
  pop(): void {
    const last = this.#inputs[--this.size]!
    if (this.size > 0) this.#sink(last)
  }

  /** Sets a larger page number for the first input. */
  advance(pgno: number): void {
    const input = this.#inputs[0]!
    this.#pgnos[input] = pgno
    this.#sink(input)
  }

  /** Replaces the first input and restores the order. */
  #sink(input: number): void {
    const inputs = this.#inputs
    const { size } = this
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && this.#before(inputs[child + 1]!, inputs[child]!)) child++
      if (!this.#before(inputs[child]!, input)) break
      inputs[at] = inputs[child]!
      at = child
    }
    inputs[at] = input
  }

  #before(a: number, b: number): boolean {
    const difference = this.#pgnos[a]! - this.#pgnos[b]!
    return difference < 0 || (difference === 0 && a > b)
  }
}
