import { LtxdError } from '../util/errors.ts'

/** Offsets in 32-bit words. */
const WORD = { version: 0, length: 1 } as const
const TEXT_AT = 8
const NO_NAMES: ReadonlyMap<string, string> = new Map()

/**
 * The databases that this node does not lead although it leads, with the reasons: what the backup may have of them
 * could not be read. In memory that both threads share. The control plane writes it, and the data plane reads it at
 * each write, so a look costs one load while nothing has changed.
 */
export class WithheldDatabases {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #text: Uint8Array
  #seen = 0
  #reasons = NO_NAMES

  constructor(buffer = WithheldDatabases.allocate()) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer, 0, 2)
    this.#text = new Uint8Array(buffer, TEXT_AT)
  }

  /** Pages of it that are never written take no memory. */
  static allocate(sizeBytes = 4 << 20): SharedArrayBuffer {
    return new SharedArrayBuffer(sizeBytes)
  }

  get reasons(): ReadonlyMap<string, string> {
    const version = Atomics.load(this.#words, WORD.version)
    if (version !== this.#seen) this.#read()
    return this.#reasons
  }

  /** Control plane only. Where the reasons do not fit, they are left out. Throws LtxdError where the names do not. */
  set reasons(reasons: ReadonlyMap<string, string>) {
    const bytes = this.#fitting(reasons)
    Atomics.add(this.#words, WORD.version, 1)
    this.#text.set(bytes)
    Atomics.store(this.#words, WORD.length, bytes.length)
    Atomics.add(this.#words, WORD.version, 1)
  }

  #fitting(reasons: ReadonlyMap<string, string>): Uint8Array {
    if (reasons.size === 0) return new Uint8Array()
    const whole = Buffer.from(JSON.stringify([...reasons]))
    if (whole.length <= this.#text.length) return whole
    const names = Buffer.from(JSON.stringify(Array.from(reasons.keys(), (name) => [name, 'see the log of this node'])))
    if (names.length <= this.#text.length) return names
    throw new LtxdError(
      'TOO_MANY_WITHHELD',
      `the backup of ${reasons.size} databases cannot be read, which is more than this node can note: it does not lead`,
    )
  }

  #read(): void {
    for (;;) {
      const version = Atomics.load(this.#words, WORD.version)
      const text = Buffer.from(this.#text.slice(0, Atomics.load(this.#words, WORD.length))).toString()
      if (version % 2 !== 0 || Atomics.load(this.#words, WORD.version) !== version) continue
      this.#reasons = text === '' ? NO_NAMES : new Map(JSON.parse(text) as [string, string][])
      this.#seen = version
      return
    }
  }
}
