import { lockPgno } from '../ltx/format/types.ts'

/** A set of page numbers, one bit a page. */
export class PageSet {
  #bits = new Uint8Array(1024)

  add(pgno: number): void {
    const byte = pgno >>> 3
    if (byte >= this.#bits.length) {
      const grown = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2))
      grown.set(this.#bits)
      this.#bits = grown
    }
    this.#bits[byte] = (this.#bits[byte] ?? 0) | (1 << (pgno & 7))
  }

  has(pgno: number): boolean {
    return ((this.#bits[pgno >>> 3] ?? 0) & (1 << (pgno & 7))) !== 0
  }

  /** The first page of a database of `commit` pages that is not in the set, except the lock page. */
  firstMissing(commit: number, pageSize: number): number | undefined {
    for (let pgno = 1; pgno <= commit; pgno++) {
      if (!this.has(pgno) && pgno !== lockPgno(pageSize)) return pgno
    }
    return undefined
  }
}
