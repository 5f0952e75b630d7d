import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import type { Header } from '../../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM } from '../../ltx/format/types.ts'
import { mergePages } from '../../ltx/merge/merge.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupFile } from './history.ts'
import { openInput, reportingCorruption } from './objects.ts'
import { StatePages } from './state-pages.ts'

const MAX_INPUTS = 128

/** Sums in one chunk, about as large as a page: memory grows with the bytes read, whatever size a header claims. */
const CHUNK_PAGES = 512

/**
 * The checksums of a database's pages, computed by replaying a backup's files without writing the database. Takes
 * eight bytes a page.
 */
export class PageChecksums {
  /** By number of the chunk. */
  readonly #sums = new Map<number, BigUint64Array>()
  readonly #pages = new StatePages()
  #commit = 0
  #checksum: Checksum = EMPTY_CHECKSUM

  /** Applies files, in TXID order and joining, to the current state. */
  async apply(store: ObjectStore, files: readonly BackupFile[], signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < files.length; at += MAX_INPUTS)
      await this.#applyPart(store, files.slice(at, at + MAX_INPUTS), signal)
  }

  /** The checksum of the whole database. */
  checksum(): Checksum {
    return this.#checksum
  }

  /** Why the state is no whole database; undefined when it is. */
  problem(): string | undefined {
    return this.#pages.problem()
  }

  async #applyPart(store: ObjectStore, files: readonly BackupFile[], signal: AbortSignal | undefined): Promise<void> {
    const merge = mergePages(
      files.map((file) => openInput(store, file, signal)),
      signal === undefined ? {} : { signal },
    )
    await reportingCorruption(store, files, async () => {
      try {
        await merge.open()
        this.#pages.begin(merge.last, merge.nameOf(0))
        this.#resize(merge.last)
        while (!merge.ended) {
          for (let frame = merge.next(); frame !== undefined; frame = merge.next()) {
            this.#pages.add(frame.pgno)
            this.#set(frame.pgno, pageChecksum(frame.pgno, frame.page()))
          }
          if (!merge.ended) await merge.fill()
        }
      } finally {
        await merge.close()
      }
    })
  }

  #resize({ commit }: Header): void {
    // A database that shrinks and grows again brings all pages between with it.
    if (commit < this.#commit) {
      for (const [number, chunk] of this.#sums) {
        const first = number * CHUNK_PAGES
        if (first + CHUNK_PAGES <= commit + 1) continue
        for (let at = Math.max(0, commit + 1 - first); at < chunk.length; at++) this.#set(first + at, undefined)
        if (first > commit) this.#sums.delete(number)
      }
    }
    this.#commit = commit
  }

  #set(pgno: number, checksum: Checksum | undefined): void {
    const number = Math.floor(pgno / CHUNK_PAGES)
    let chunk = this.#sums.get(number)
    if (chunk === undefined) this.#sums.set(number, (chunk = new BigUint64Array(CHUNK_PAGES)))
    const at = pgno % CHUNK_PAGES
    const before = chunk[at] ?? 0n
    if (before !== 0n) this.#checksum = foldChecksum(this.#checksum, before as Checksum)
    if (checksum !== undefined) this.#checksum = foldChecksum(this.#checksum, checksum)
    chunk[at] = checksum ?? 0n
  }
}
