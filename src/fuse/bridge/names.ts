/** Which file a path of libfuse's means to the session: what the kernel remembers by its own lookups. */

import path from 'node:path'
import { errnoNumber } from '../errno.ts'
import { ENTRY_OUT, FORGET_IN, ROOT_ID } from '../protocol/kernel.ts'
import { type Wire, WireError, type WireMessage } from './wire.ts'

/** So many are remembered; above, those that are not open are forgotten. */
const MAX_NAMES = 4096

export interface Known {
  readonly id: number
  /** How often the session has named it. */
  lookups: number
  /** Handles on it. */
  opens: number
  /** What is known of the name holds until it is changed through the mount. */
  readonly isLasting: boolean
  /** Its name is gone for everyone but libfuse, which keeps one until its handles are closed. */
  isHidden: boolean
}

export class Names {
  readonly #wire: Wire
  readonly #known = new Map<string, Known>()
  readonly #root: Known = { id: ROOT_ID, lookups: 0, opens: 0, isLasting: true, isHidden: false }

  constructor(wire: Wire) {
    this.#wire = wire
  }

  /** The file, if it was found before. */
  peek(name: string): Known | undefined {
    return name === '/' ? this.#root : this.#known.get(name)
  }

  /** The file. Throws WireError. */
  find(name: string): Known {
    const known = this.peek(name)
    return known?.isLasting === true ? known : this.lookUp(name).known
  }

  /** The directory that `name` is in, and what it is called there. Throws WireError. */
  parent(name: string): { directory: number; base: string } {
    const base = path.posix.basename(name)
    // what is not UTF-8 the package turns into this character, so that two names would become one
    if (base.includes('\ufffd')) throw new WireError(errnoNumber('EILSEQ'))
    return { directory: this.find(path.posix.dirname(name)).id, base }
  }

  /** Asks for it, whether it is known or not; the answer has its attributes. Throws WireError. */
  lookUp(name: string): { known: Known; entry: WireMessage } {
    const { directory, base } = this.parent(name)
    const entry = this.#wire.ask('LOOKUP', directory, (request) => request.text(base))
    if (entry.u64(ENTRY_OUT.nodeid) === 0) {
      this.forget(name)
      throw new WireError(errnoNumber('ENOENT'))
    }
    return { known: this.remember(name, entry), entry }
  }

  /** Takes up an entry that the session has answered with. */
  remember(name: string, entry: WireMessage): Known {
    const id = entry.u64(ENTRY_OUT.nodeid)
    const before = this.#known.get(name)
    if (before?.id === id) {
      before.lookups++
      return before
    }
    const isLasting = entry.u64(ENTRY_OUT.entry_valid) > 0
    if (before !== undefined || this.#known.size >= MAX_NAMES) {
      // forgetting asks nothing, but what it is told goes through the request's buffer only: the entry stays
      this.forget(name)
      if (this.#known.size >= MAX_NAMES) this.#forgetIdle()
    }
    const known = { id, lookups: 1, opens: 0, isLasting, isHidden: false }
    this.#known.set(name, known)
    return known
  }

  /** The name is gone, or means something else from now on. */
  forget(name: string): void {
    const known = this.#known.get(name)
    if (known === undefined) return
    this.#known.delete(name)
    this.#wire.tell('FORGET', known.id, (request) =>
      request.struct(FORGET_IN.SIZE).set64(FORGET_IN.nlookup, known.lookups),
    )
  }

  /** A file, or a directory with all that is known in it, has got another name. */
  move(from: string, to: string): void {
    this.forget(to)
    for (const [name, known] of [...this.#known]) {
      if (name !== from && !name.startsWith(`${from}/`)) continue
      this.#known.delete(name)
      this.#known.set(to + name.slice(from.length), known)
    }
  }

  #forgetIdle(): void {
    for (const [name, { opens, isHidden }] of this.#known) if (opens === 0 && !isHidden) this.forget(name)
  }
}
