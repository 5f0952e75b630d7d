import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import type { Checksum } from '../../ltx/format/types.ts'
import { EMPTY_CHECKSUM } from '../../ltx/format/types.ts'

/** The checksum of a database, updated page by page. */
export class PageSums {
  readonly #sums: Checksum[] = []
  #total: Checksum = EMPTY_CHECKSUM

  set(pgno: number, page: Uint8Array): void {
    this.#remove(pgno)
    const sum = pageChecksum(pgno, page)
    this.#sums[pgno] = sum
    this.#total = foldChecksum(this.#total, sum)
  }

  truncate(commit: number): Checksum {
    for (let pgno = this.#sums.length - 1; pgno > commit; pgno--) this.#remove(pgno)
    this.#sums.length = Math.min(this.#sums.length, commit + 1)
    return this.#total
  }

  #remove(pgno: number): void {
    const sum = this.#sums[pgno]
    if (sum !== undefined) this.#total = foldChecksum(this.#total, sum)
  }
}
