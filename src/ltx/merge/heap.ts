/**
 * Which of several inputs has the smallest page number, and of two with the same, the newer: the one with the higher index.
 * In typed arrays, because it works for every page of a merge.
 */
export class InputHeap {
  size = 0
  readonly #inputs: Int32Array
  /** By input. */
  readonly #pgnos: Float64Array

  constructor(inputCount: number) {
    this.#inputs = new Int32Array(inputCount)
    this.#pgnos = new Float64Array(inputCount)
  }

  /** The input in front. The heap must not be empty, here and below. */
  get first(): number {
    return this.#inputs[0]!
  }

  /** Its page number. */
  get firstPgno(): number {
    return this.#pgnos[this.#inputs[0]!]!
  }

  /** Adds an input, which must not be in it. */
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

  /** Takes the first input out. */
  pop(): void {
    const last = this.#inputs[--this.size]!
    if (this.size > 0) this.#sink(last)
  }

  /** Gives the first input a larger page number. */
  advance(pgno: number): void {
    const input = this.#inputs[0]!
    this.#pgnos[input] = pgno
    this.#sink(input)
  }

  /** Puts an input in the place of the first, and then where it belongs. */
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
