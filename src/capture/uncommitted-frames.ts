import type { Pgno } from '../ltx/format/types.ts'

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
  newest(commit: number, lock: Pgno): { pgnos: Pgno[]; at: (pgno: Pgno) => number | undefined } {
    const { length } = this
    const items = this.#pgnos
    if (length === 1) {
      const only = items[0] as Pgno
      return { pgnos: only <= commit && only !== lock ? [only] : [], at: (pgno) => (pgno === only ? 0 : undefined) }
    }
    const last = new Map<Pgno, number>()
    for (let i = 0; i < length; i++) last.set(items[i] as Pgno, i)
    const pgnos = Array.from(last.keys()).filter((pgno) => pgno <= commit && pgno !== lock)
    return { pgnos: pgnos.sort((a, b) => a - b), at: (pgno) => last.get(pgno) }
  }
}
