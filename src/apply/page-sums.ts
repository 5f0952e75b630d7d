import type { Checksum, Pgno } from '../ltx/format/types.ts'

/** On V8's heap, like the arrays of most transactions. */
const FIRST_CAPACITY = 8

/** Pages and their checksums, in typed arrays: twelve bytes a page, however many there are. */
export class PageSums {
  #pgnos = new Uint32Array(FIRST_CAPACITY)
  #checksums = new BigUint64Array(FIRST_CAPACITY)
  #length = 0

  add(pgno: Pgno, checksum: Checksum): void {
    if (this.#length === this.#pgnos.length) this.#grow()
    this.#pgnos[this.#length] = pgno
    this.#checksums[this.#length++] = checksum
  }

  /** Valid until the next page is added. */
  get pgnos(): Uint32Array {
    return this.#pgnos.subarray(0, this.#length)
  }

  get checksums(): BigUint64Array {
    return this.#checksums.subarray(0, this.#length)
  }

  #grow(): void {
    const pgnos = new Uint32Array(2 * this.#length)
    pgnos.set(this.#pgnos)
    this.#pgnos = pgnos
    const checksums = new BigUint64Array(2 * this.#length)
    checksums.set(this.#checksums)
    this.#checksums = checksums
  }
}
