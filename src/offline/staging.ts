import { readSync } from 'node:fs'
import { PageSums } from '../apply/page-sums.ts'
import type { Page, PageChanges } from '../apply/transaction.ts'
import { type ChainLink, joint } from '../ltx/chain.ts'
import { Decoder } from '../ltx/codec/decoder.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { LTXError } from '../ltx/format/errors.ts'
import { hasChecksums, type Header, isSnapshot, type Trailer } from '../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, formatChecksum, lockPgno, type Pgno } from '../ltx/format/types.ts'
import { PageSet } from '../sqlite/page-set.ts'
import { exchange, PageTable } from '../sqlite/page-table.ts'
import { type PageFile, PageWriter } from '../sqlite/page-writer.ts'
import { DoesNotContinueError, InvalidLTXError, ReplacesDatabaseError, WrongResultError } from './errors.ts'
import type { LTXFile } from './ltx-file.ts'

/** The database to which LTX files are applied. Staging uses only its checksums. */
export interface Base {
  readonly path: string
  /** 0: the database is empty. */
  readonly pageSize: number
  readonly checksum: Checksum
  readonly pages: { readonly sizePages: number; checksum(pgno: Pgno): Checksum | 0n }
  /** Allows the first file to be a snapshot although the base is not empty. */
  readonly mayBeReplaced?: boolean
}

/** Where the pages go, as to a FileHandle. */
export interface StagedFile extends PageFile {
  readonly fd: number
  truncate(sizeBytes: number): Promise<void>
}

/**
 * Applies LTX files to a database without changing it: their pages go into a separate file, at their offsets in the
 * database. Verifies what each file records about the database before and after it. Pages that no file wrote into a
 * grown database are zero. Source: superfly/ltx 0.5.3, cmd/ltx/apply.go.
 */
export class Staging {
  readonly #file: StagedFile
  readonly #base: Base
  /** Pages of the base up to this one are part of the result unless an applied page replaces them. */
  #basePages: Pgno
  #applied = new PageSet()
  /** The checksums of applied pages, and of zero pages. */
  #sums = new PageTable()
  #pageSize: number
  #commit: number
  #checksum: Checksum
  #last: (ChainLink & { readonly name: string }) | undefined

  /** `file`: an empty one. */
  constructor(file: StagedFile, base: Base) {
    this.#file = file
    this.#base = base
    this.#basePages = base.pages.sizePages
    this.#pageSize = base.pageSize
    this.#commit = base.pages.sizePages
    this.#checksum = base.checksum
  }

  /** The checksum of the resulting database. */
  get checksum(): Checksum {
    return this.#checksum
  }

  /** Throws InvalidLTXError, DoesNotContinueError, WrongResultError. After an error no more files can be applied. */
  async apply(file: LTXFile): Promise<{ header: Header; trailer: Trailer; pages: number }> {
    try {
      return await this.#apply(file)
    } catch (error) {
      throw error instanceof LTXError ? new InvalidLTXError(error, error.inFile(file.name).message) : error
    }
  }

  /** The differences from the base. Must be read before the file is closed. */
  changes(): PageChanges {
    const { header } = this.#last!
    const base = this.#base
    const samePages = base.pageSize === this.#pageSize
    const changed = new PageSums()
    for (let pgno = 1; pgno <= this.#commit; pgno++) {
      if (!this.#applied.has(pgno)) continue
      if (pgno === 1 || !samePages || base.pages.checksum(pgno) !== this.#sums.checksum(pgno))
        changed.add(pgno, this.#sums.checksum(pgno) as Checksum)
    }
    const { pgnos, checksums } = changed
    return {
      header,
      pgnos,
      checksums,
      pages: () => this.#read(pgnos),
      firstPage: () => (pgnos[0] === 1 ? [...this.#read([1])][0]?.page.slice() : undefined),
    }
  }

  async #apply(file: LTXFile): Promise<{ header: Header; trailer: Trailer; pages: number }> {
    const decoder = new Decoder()
    let header: Header | undefined
    let writer: PageWriter | undefined
    for await (const chunk of file.open()) {
      decoder.push(chunk)
      if (header === undefined && decoder.header !== undefined) {
        header = decoder.header
        await this.#begin(file.name, header)
        writer = new PageWriter(this.#file, header.pageSize)
      }
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        const page = frame.page()
        this.#replace(frame.pgno, pageChecksum(frame.pgno, page))
        const full = writer?.write(frame.pgno, page)
        if (full !== undefined) await full
      }
    }
    const trailer = decoder.end()
    if (header === undefined) throw new Error('the decoder ended without a header')
    await writer?.flush()
    this.#resize(header.commit)
    await this.#file.truncate(header.commit * header.pageSize)
    if (hasChecksums(header) && trailer.postApplyChecksum !== this.#checksum) {
      const expected = formatChecksum(trailer.postApplyChecksum as Checksum)
      throw new WrongResultError(file.name, formatChecksum(this.#checksum), expected)
    }
    this.#last = { header, trailer, name: file.name }
    return { header, trailer, pages: decoder.pageCount }
  }

  /** Compares a file's header with the current state, before any of its pages. */
  async #begin(name: string, header: Header): Promise<void> {
    const last = this.#last
    if (last !== undefined) {
      const { problem } = joint(last, { header, trailer: last.trailer })
      if (problem !== undefined) throw new DoesNotContinueError(name, problem.field, problem.problem, last.name)
    }
    if (isSnapshot(header)) {
      const { path, pages, mayBeReplaced } = this.#base
      if (last === undefined && pages.sizePages > 0 && mayBeReplaced !== true)
        throw new ReplacesDatabaseError(path, name)
      return this.#reset(header)
    }
    const before = last?.name ?? this.#base.path
    if (this.#pageSize === 0) {
      const problem =
        'the file changes a database, but there is none: expected a snapshot, which begins with transaction 1'
      throw new DoesNotContinueError(name, 'minimum TXID', problem)
    }
    if (header.pageSize !== this.#pageSize) {
      throw new DoesNotContinueError(name, 'page size', `${header.pageSize}: expected ${this.#pageSize}`, before)
    }
    if (hasChecksums(header) && header.preApplyChecksum !== this.#checksum) {
      const found = formatChecksum(header.preApplyChecksum as Checksum)
      const problem = `${found}: expected ${formatChecksum(this.#checksum)}`
      throw new DoesNotContinueError(name, 'pre-apply checksum', problem, before)
    }
  }

  async #reset({ pageSize }: Header): Promise<void> {
    await this.#file.truncate(0)
    this.#basePages = 0
    this.#applied = new PageSet()
    this.#sums = new PageTable()
    this.#commit = 0
    this.#checksum = EMPTY_CHECKSUM
    this.#pageSize = pageSize
  }

  #sum(pgno: Pgno): Checksum | 0n {
    if (this.#applied.has(pgno)) return this.#sums.checksum(pgno)
    return pgno <= this.#basePages ? this.#base.pages.checksum(pgno) : 0n
  }

  #replace(pgno: Pgno, checksum: Checksum | 0n): void {
    this.#checksum = exchange(this.#checksum, this.#sum(pgno), checksum)
    this.#applied.add(pgno)
    this.#sums.setChecksum(pgno, checksum as Checksum)
  }

  #resize(commit: number): void {
    const lockPage = lockPgno(this.#pageSize)
    for (let pgno = commit + 1; pgno <= this.#commit; pgno++) {
      if (pgno !== lockPage) this.#replace(pgno, 0n)
    }
    const zero = new Uint8Array(this.#pageSize)
    for (let pgno = this.#commit + 1; pgno <= commit; pgno++) {
      if (pgno !== lockPage && this.#sum(pgno) === 0n) this.#replace(pgno, pageChecksum(pgno, zero))
    }
    this.#basePages = Math.min(this.#basePages, commit)
    this.#commit = commit
  }

  *#read(pgnos: Iterable<Pgno>): Generator<Page> {
    // Not a Buffer, whose slice() does not copy.
    const page = new Uint8Array(this.#pageSize)
    for (const pgno of pgnos) {
      const read = readSync(this.#file.fd, page, 0, page.length, (pgno - 1) * page.length)
      if (read !== page.length) throw new Error(`page ${pgno} was staged, but is missing`)
      yield { pgno, page }
    }
  }
}
