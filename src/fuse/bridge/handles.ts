import type { Known } from './names.ts'

/** An open file: the session's handle, and the file, even if its name was removed. */
export interface Handle {
  readonly fh: number
  readonly known: Known
}

const LAST = 0x7fff_ffff

/** Maps libfuse's handle numbers to the session's handles. The package passes 31 bits. */
export class Handles {
  readonly #handles = new Map<number, Handle>()
  #last = 0

  add(handle: Handle): number {
    do this.#last = (this.#last % LAST) + 1
    while (this.#handles.has(this.#last))
    handle.known.opens++
    this.#handles.set(this.#last, handle)
    return this.#last
  }

  get(number: number): Handle {
    const handle = this.#handles.get(number)
    if (handle === undefined) throw new Error(`libfuse uses handle ${number}, which is not open`)
    return handle
  }

  remove(number: number): Handle {
    const handle = this.get(number)
    handle.known.opens--
    this.#handles.delete(number)
    return handle
  }
}
