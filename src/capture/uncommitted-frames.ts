import type { Pgno } from '../ltx/format/types.ts'
import { NewestFrames, type Pgnos } from '../sqlite/page-list.ts'

/** From so many frames on, typed arrays take the place of a Map: it ends at 2^24 pages. */
const MANY = 4096

/** The page number of each valid frame that is not committed yet, in order. Reused from transaction to transaction. */
export class UncommittedFrames {
  #pgnos = new Uint32Array(64)
  length = 0

  push(pgno: Pgno): void {
    if (this.length === this.#pgnos.length) {
      const larger = new Uint32Array(this.#pgnos.length * 2)
      larger.set(this.#pgnos)
      this.#pgnos = larger
    }
    this.#pgnos[this.length++] = pgno
  }

  /** The page of the only frame; undefined if there are none or several. */
  only(): Pgno | undefined {
    return this.length === 1 ? this.#pgnos[0] : undefined
  }

  /** The distinct pages up to `commit`, ascending, and for each the index of the last frame that holds it. */
  newest(commit: number, lock: Pgno): { pgnos: Pgnos; at: (pgno: Pgno) => number | undefined } {
    const { length } = this
    const items = this.#pgnos
    if (length === 1) {
      const only = items[0] as Pgno
      return { pgnos: only <= commit && only !== lock ? [only] : [], at: (pgno) => (pgno === only ? 0 : undefined) }
    }
    if (length > MANY) {
      const newest = new NewestFrames(items.subarray(0, length))
      return { pgnos: newest.pgnos.filter((pgno) => pgno <= commit && pgno !== lock), at: (pgno) => newest.get(pgno) }
    }
    const last = new Map<Pgno, number>()
    for (let i = 0; i < length; i++) last.set(items[i] as Pgno, i)
    const pgnos = Array.from(last.keys()).filter((pgno) => pgno <= commit && pgno !== lock)
    return { pgnos: pgnos.sort((a, b) => a - b), at: (pgno) => last.get(pgno) }
  }
}
