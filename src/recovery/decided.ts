/** A transaction that is committed because its super-journal is gone. Its pages are kept from the log's replay. */

import fs from 'node:fs'
import { isNearlyEmpty } from '../capture/backing-file.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import type { Journal } from '../sqlite/journal.ts'
import { indexOfPage } from '../sqlite/page-list.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'
import { openUnnamed } from '../util/unnamed-file.ts'
import { pageReader } from './repair.ts'
import { Unrecoverable } from './residue.ts'

/** More than this waits in a file without a name. */
const IN_MEMORY_BYTES = 16 << 20

export class DecidedTransaction {
  /** Of the database after it. */
  readonly sizePages: number
  /** Ascending. */
  readonly pgnos: Uint32Array
  readonly #pageSize: number
  readonly #memory: Uint8Array | undefined
  readonly #fd: number

  /** Reads the transaction's pages by `read`. `directory`: where a file may be made. */
  constructor(
    about: { readonly sizePages: number; readonly pgnos: Uint32Array; readonly pageSize: number },
    read: (pgno: Pgno) => Uint8Array,
    directory: string,
  ) {
    this.sizePages = about.sizePages
    this.pgnos = about.pgnos
    this.#pageSize = about.pageSize
    const sizeBytes = this.pgnos.length * this.#pageSize
    this.#memory = sizeBytes > IN_MEMORY_BYTES ? undefined : new Uint8Array(sizeBytes)
    this.#fd = this.#memory === undefined ? openUnnamed(directory) : -1
    this.pgnos.forEach((pgno, i) => {
      const at = i * this.#pageSize
      if (this.#memory !== undefined) this.#memory.set(read(pgno), at)
      else fs.writeSync(this.#fd, read(pgno), 0, this.#pageSize, at)
    })
  }

  /** undefined if the transaction does not have the page. */
  read(pgno: Pgno): Uint8Array | undefined {
    const index = indexOfPage(this.pgnos, pgno)
    if (index < 0) return undefined
    const at = index * this.#pageSize
    if (this.#memory !== undefined) return this.#memory.subarray(at, at + this.#pageSize)
    const page = new Uint8Array(this.#pageSize)
    fs.readSync(this.#fd, page, 0, this.#pageSize, at)
    return page
  }

  close(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd)
  }
}

/** Reads the transaction's pages from the file; the journal names them. Throws Unrecoverable. */
export function readDecided(
  files: Files,
  path: string,
  journal: Journal,
  directory: string,
): DecidedTransaction | undefined {
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    const header = parseDatabaseHeader(readerOf(files, fd)(0, DATABASE_HEADER_SIZE))
    if (header === undefined || header.pageSize !== journal.pageSize) return undefined
    const { pageSize } = header
    const sizeBytes = files.size(fd)
    const size = sizePages(header, sizeBytes)
    // Nobody makes a list of the pages that a header claims, or a hole (I10).
    if (size > Math.ceil(sizeBytes / pageSize) + 1 || isNearlyEmpty(fd, sizeBytes)) {
      throw new Unrecoverable(`its file claims a database of ${size} pages, which it does not hold`)
    }
    const pages = journal.records.pages()
    for (let pgno = journal.initialSizePages + 1; pgno <= size; pgno++) pages.add(pgno)
    const pgnos = pages.sorted().slice(0, pages.countUpTo(size))
    return new DecidedTransaction({ sizePages: size, pgnos, pageSize }, pageReader(files, fd, pageSize), directory)
  })
}
