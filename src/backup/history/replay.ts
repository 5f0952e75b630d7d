import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import type { Header } from '../../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM } from '../../ltx/format/types.ts'
import { mergePages } from '../../ltx/merge/merge.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupFile } from './history.ts'
import { openInput, reportingCorruption } from './objects.ts'

const MAX_INPUTS = 128

/**
 * The checksums of a database's pages, computed by replaying a backup's files without writing the database. Takes
 * eight bytes a page.
 */
export class PageChecksums {
  #sums = new BigUint64Array(1024)
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

  async #applyPart(store: ObjectStore, files: readonly BackupFile[], signal: AbortSignal | undefined): Promise<void> {
    const merge = mergePages(
      files.map((file) => openInput(store, file, signal)),
      signal === undefined ? {} : { signal },
    )
    await reportingCorruption(store, files, async () => {
      try {
        await merge.open()
        this.#resize(merge.last)
        while (!merge.ended) {
          for (let frame = merge.next(); frame !== undefined; frame = merge.next()) {
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
    if (commit >= this.#sums.length) {
      const grown = new BigUint64Array(Math.max(commit + 1, this.#sums.length * 2))
      grown.set(this.#sums)
      this.#sums = grown
    }
    // A database that shrinks and grows again brings all pages between with it.
    for (let pgno = commit + 1; pgno <= this.#commit; pgno++) this.#set(pgno, undefined)
    this.#commit = commit
  }

  #set(pgno: number, checksum: Checksum | undefined): void {
    const before = this.#sums[pgno] ?? 0n
    if (before !== 0n) this.#checksum = foldChecksum(this.#checksum, before as Checksum)
    if (checksum !== undefined) this.#checksum = foldChecksum(this.#checksum, checksum)
    this.#sums[pgno] = checksum ?? 0n
  }
}
