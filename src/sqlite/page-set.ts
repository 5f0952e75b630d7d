import { lockPgno } from '../ltx/format/types.ts'

/** Pages in one chunk: memory grows with the pages added, whatever their numbers. */
const CHUNK_PAGES = 4096

/** A set of page numbers, one bit a page. */
export class PageSet {
  /** By number of the chunk. */
  readonly #chunks = new Map<number, Uint8Array>()
  #count = 0
  /** No page beyond it is in the set. */
  #end = 0

  add(pgno: number): void {
    const number = Math.floor(pgno / CHUNK_PAGES)
    let chunk = this.#chunks.get(number)
    if (chunk === undefined) this.#chunks.set(number, (chunk = new Uint8Array(CHUNK_PAGES / 8)))
    const [byte, bit] = placeOf(pgno)
    const bits = chunk[byte] ?? 0
    if ((bits & bit) !== 0) return
    chunk[byte] = bits | bit
    this.#count++
    this.#end = Math.max(this.#end, pgno)
  }

  has(pgno: number): boolean {
    const chunk = this.#chunks.get(Math.floor(pgno / CHUNK_PAGES))
    const [byte, bit] = placeOf(pgno)
    return chunk !== undefined && ((chunk[byte] ?? 0) & bit) !== 0
  }

  /** Removes the pages beyond `commit`. */
  truncate(commit: number): void {
    if (commit >= this.#end) return
    for (const [number, chunk] of this.#chunks) {
      const first = number * CHUNK_PAGES
      for (let pgno = Math.max(first, commit + 1); pgno < first + CHUNK_PAGES; pgno++) {
        const [byte, bit] = placeOf(pgno)
        const bits = chunk[byte] ?? 0
        if ((bits & bit) === 0) continue
        chunk[byte] = bits & ~bit
        this.#count--
      }
      if (first > commit) this.#chunks.delete(number)
    }
    this.#end = commit
  }

  /** The first page of a database of `commit` pages that is not in the set, except the lock page. */
  firstMissing(commit: number, pageSize: number): number | undefined {
    const lock = lockPgno(pageSize)
    const expected = commit < lock ? commit : commit - 1
    if (this.#count === expected && this.#end <= commit && !this.has(lock)) return undefined
    for (let pgno = 1; pgno <= commit; pgno++) {
      if (!this.has(pgno) && pgno !== lock) return pgno
    }
    return undefined
  }
}

/** The byte of the chunk, and the bit. */
function placeOf(pgno: number): [byte: number, bit: number] {
  const at = pgno % CHUNK_PAGES
  return [at >>> 3, 1 << (at & 7)]
}
