import type { Caller } from '../fuse/content.ts'
import type { Database } from './database.ts'
import { DatabaseContent } from './database-content.ts'
import type { FileTrust } from './file-trust.ts'
import type { Proof } from './proof.ts'

/**
 * The main file of a database that recovery did not read. Each page is verified before its first read or overwrite
 * (I3).
 */
export class UnprovenContent extends DatabaseContent {
  readonly #trust: FileTrust
  readonly #proof: Proof

  constructor(database: Database, proof: Proof, fd: number, closed: (database: Database) => void) {
    super(database, fd, closed)
    this.#trust = database.trust
    this.#proof = proof
  }

  override read(into: Uint8Array, at: number, length: number, position: number): number {
    if (this.#isReplaced) return super.read(into, at, length, position)
    this.#assertSound()
    const n = super.read(into, at, length, position)
    this.#verify(position, n)
    return n
  }

  override write(data: Uint8Array, position: number, caller: Caller): void {
    if (this.#isReplaced) return super.write(data, position, caller)
    this.#assertSound()
    this.#verify(position, data.length)
    super.write(data, position, caller)
  }

  override truncate(sizeBytes: number, caller: Caller): void {
    if (this.#isReplaced) return super.truncate(sizeBytes, caller)
    this.#assertSound()
    const { pageSize } = this.#proof
    if (sizeBytes % pageSize !== 0) this.#verify(sizeBytes, 1)
    super.truncate(sizeBytes, caller)
    if (!this.#isReplaced) this.#proof.cut(Math.ceil(sizeBytes / pageSize))
  }

  /** Another content is being written, and the file keeps its own until that is complete. */
  get #isReplaced(): boolean {
    return this.sizeBytes() !== undefined
  }

  #verify(position: number, length: number): void {
    const proof = this.#proof
    if (proof.ended || length === 0) return
    const { pageSize } = proof
    const last = Math.floor((position + length - 1) / pageSize) + 1
    for (let pgno = Math.floor(position / pageSize) + 1; pgno <= last; pgno++) {
      if (proof.has(pgno)) continue
      const page = scratch.subarray(0, pageSize)
      const n = this.files.read(this.fd, page, 0, pageSize, (pgno - 1) * pageSize)
      // No page exists beyond the end of the file, so none needs verification.
      if (n === 0) proof.cut(pgno - 1)
      else if (!proof.holds(pgno, page.fill(0, n))) throw this.#trust.reject(pgno)
    }
  }

  #assertSound(): void {
    const { damaged } = this.#proof
    if (damaged !== undefined) throw this.#trust.reject(damaged)
  }
}

/** Shared by all contents of the thread. */
const scratch = new Uint8Array(65536)
