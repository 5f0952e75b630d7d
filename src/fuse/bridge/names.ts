/** Maps libfuse's paths to the session's files, as the kernel does by its own lookups. */

import path from 'node:path'
import { errnoNumber } from '../errno.ts'
import { ENTRY_OUT, FORGET_IN, ROOT_ID } from '../protocol/kernel.ts'
import { type Wire, WireError, type WireMessage } from './wire.ts'

/** Above this number, files that are not open are forgotten. */
const MAX_NAMES = 4096
const ESTALE = errnoNumber('ESTALE')

export interface Known {
  readonly id: number
  /** Lookups that the session has answered and the bridge has not forgotten. */
  lookups: number
  /** Open handles. */
  opens: number
  /** The name means this file until it is changed through the mount. */
  readonly isLasting: boolean
  /** The file was removed; libfuse gave it a hidden name until its handles are closed. */
  isHidden: boolean
}

export class Names {
  readonly #wire: Wire
  readonly #known = new Map<string, Known>()
  readonly #root: Known = { id: ROOT_ID, lookups: 0, opens: 0, isLasting: true, isHidden: false }

  constructor(wire: Wire) {
    this.#wire = wire
  }

  /** The file, if a lookup found it before. */
  peek(name: string): Known | undefined {
    return name === '/' ? this.#root : this.#known.get(name)
  }

  /** The file. Throws WireError. */
  find(name: string): Known {
    const known = this.peek(name)
    return known?.isLasting === true ? known : this.lookUp(name).known
  }

  /**
   * Uses the file. If the session has removed its name by itself since the lookup, it says ESTALE: the kernel then
   * tries again, which must look the name up anew.
   */
  through<T>(name: string, use: (known: Known) => T): T {
    const known = this.find(name)
    try {
      return use(known)
    } catch (error) {
      if (error instanceof WireError && error.errno === ESTALE) this.forget(name)
      throw error
    }
  }

  /** The directory of `name`, and its name there. Throws WireError. */
  parent(name: string): { directory: number; base: string } {
    const base = path.posix.basename(name)
    assertUtf8(base)
    return { directory: this.find(path.posix.dirname(name)).id, base }
  }

  /** Looks the name up in the session, known or not. The answer has the attributes. Throws WireError. */
  lookUp(name: string): { known: Known; entry: WireMessage } {
    const { directory, base } = this.parent(name)
    const entry = this.#wire.call('LOOKUP', directory, (request) => request.text(base))
    if (entry.u64(ENTRY_OUT.nodeid) === 0) {
      this.forget(name)
      throw new WireError(errnoNumber('ENOENT'))
    }
    return { known: this.remember(name, entry), entry }
  }

  /** Records an entry from an answer of the session. */
  remember(name: string, entry: WireMessage): Known {
    const id = entry.u64(ENTRY_OUT.nodeid)
    const before = this.#known.get(name)
    if (before?.id === id) {
      before.lookups++
      return before
    }
    const isLasting = entry.u64(ENTRY_OUT.entry_valid) > 0
    if (before !== undefined || this.#known.size >= MAX_NAMES) {
      // FORGET has no answer, so the reply's buffer with the entry stays valid.
      this.forget(name)
      if (this.#known.size >= MAX_NAMES) this.#forgetIdle()
    }
    const known = { id, lookups: 1, opens: 0, isLasting, isHidden: false }
    this.#known.set(name, known)
    return known
  }

  /** The name was removed, or means another file from now on. */
  forget(name: string): void {
    const known = this.#known.get(name)
    if (known === undefined) return
    this.#known.delete(name)
    this.#wire.send('FORGET', known.id, (request) =>
      request.struct(FORGET_IN.SIZE).set64(FORGET_IN.nlookup, known.lookups),
    )
  }

  /** A file, or a directory with everything in it, was renamed. */
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

/**
 * fuse-native replaces bytes that are not UTF-8 with U+FFFD, so two names would become one. Throws WireError for such a
 * name or target of a link.
 */
export function assertUtf8(name: string): void {
  if (name.includes('\ufffd')) throw new WireError(errnoNumber('EILSEQ'))
}
