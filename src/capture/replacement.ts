import fs from 'node:fs'
import { lockPgno } from '../ltx/format/types.ts'
import { parseJournal } from '../sqlite/journal.ts'
import type { Files } from '../util/files.ts'
import { parentOf, readerOf, withFile } from '../util/files.ts'
import type { CaptureEvents } from './events.ts'
import { MAX_RANGES, WrittenRanges } from './written-ranges.ts'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } = fs.constants
const COPY_BYTES = 1 << 20

/** Where replacements are written: in the data directory, outside of what the mount shows. */
const FOLDER = 'replacing'

/**
 * Another content of a database's file, written by a program that replaces the file in place: it opened it with
 * O_TRUNC, or truncated it to nothing, while nobody else had it open. The file keeps its former content until the last
 * writer has closed it, and what was written is a database.
 */
export class Replacement {
  readonly fd: number
  readonly #files: Files
  readonly #path: string
  readonly #written = new WrittenRanges()
  #isScattered = false
  /** Its journal has a super-journal: whether that still exists is found by SQLite, when it opens the database. */
  isUndecided = false
  /** Grows with each write, so that somebody who looks twice sees whether there was one. */
  writes = 0

  /** `path` is that of the database's file, `name` its name on the mount, with which it ends. */
  constructor(files: Files, path: string, name: string) {
    this.#files = files
    const folder = `${parentOf(path.slice(0, -name.length - 1))}/${FOLDER}`
    files.makeDirectory(folder)
    const base = `${folder}/${encodeURIComponent(name).slice(-200)}`
    let n = 0
    while (files.exists(`${base}.${n}`)) n++
    this.#path = `${base}.${n}`
    this.fd = files.open(this.#path, O_RDWR | O_CREAT | O_EXCL)
  }

  get sizeBytes(): number {
    return this.#files.size(this.fd)
  }

  /** Whether every byte was written, and none is only part of a hole: some programs write their parts in any order. */
  get isDense(): boolean {
    return this.#written.isAll(this.sizeBytes)
  }

  /** Why it can never become the database, whatever else is written. */
  get problem(): string | undefined {
    const parts = MAX_RANGES.toLocaleString('en')
    return this.#isScattered ? `it was written in more than ${parts} parts that do not touch` : undefined
  }

  read(into: Uint8Array, at: number, length: number, position: number): number {
    return this.#files.read(this.fd, into, at, length, position)
  }

  /** False if it was not written, because of the `problem` that there is now. */
  write(data: Uint8Array, position: number): boolean {
    this.writes++
    if (this.#isScattered) return false
    this.#files.write(this.fd, data, 0, data.length, position)
    this.#isScattered = !this.#written.add(position, position + data.length)
    return !this.#isScattered
  }

  truncate(sizeBytes: number): void {
    this.#files.truncate(this.fd, sizeBytes)
    this.writes++
    this.#written.cut(sizeBytes)
    if (sizeBytes === 0) this.#isScattered = false
  }

  sync(): void {
    this.#files.sync(this.fd)
  }

  /** Restores what the journal at `path` holds, as SQLite would. Returns why it cannot, if so. */
  rollBack(path: string): string | undefined {
    const files = this.#files
    return withFile(files, path, O_RDONLY, (fd) => {
      const read = readerOf(files, fd)
      const journal = parseJournal(read, files.size(fd))
      if (journal === undefined) return 'its journal is not valid'
      this.isUndecided = journal.superJournal !== undefined
      if (this.isUndecided) return undefined
      const { pageSize, initialSizePages, records } = journal
      const restored = records.pages()
      for (let pgno = Math.ceil(this.sizeBytes / pageSize) + 1; pgno <= initialSizePages; pgno++) {
        if (!restored.has(pgno) && pgno !== lockPgno(pageSize)) return `neither it nor its journal has page ${pgno}`
      }
      for (const { pgno, dataOffset } of records) {
        if (pgno > initialSizePages) continue
        files.write(this.fd, read(dataOffset, pageSize), 0, pageSize, (pgno - 1) * pageSize)
      }
      files.truncate(this.fd, initialSizePages * pageSize)
      return undefined
    })
  }

  /** Writes the content into the database's file. */
  copyInto(fd: number): void {
    const files = this.#files
    const size = this.sizeBytes
    const chunk = new Uint8Array(Math.min(COPY_BYTES, size))
    for (let at = 0; at < size; at += chunk.length) {
      files.write(fd, chunk, 0, files.read(this.fd, chunk, 0, chunk.length, at), at)
    }
    files.truncate(fd, size)
  }

  /** Removes what was written. */
  discard(): void {
    this.#files.close(this.fd)
    this.#files.remove(this.#path)
  }
}

/** At a start: what was being written when the node died is discarded. The databases have their former content. */
export function discardReplacements(files: Files, dataDir: string, { log }: Pick<CaptureEvents, 'log'>): void {
  const folder = `${dataDir}/${FOLDER}`
  for (const name of files.list(folder)) {
    files.remove(`${folder}/${name}`)
    const message = 'a replacement of the database was under way when the node ended: what the log holds counts'
    log('warn', message, { database: decoded(name.slice(0, name.lastIndexOf('.'))) })
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
