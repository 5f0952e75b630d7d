import fs from 'node:fs'
import type { Files } from '../util/files.ts'
import { parentOf } from '../util/files.ts'
import type { CaptureEvents } from './events.ts'

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants
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
  /** What was written, as ranges that do not touch, ascending. */
  readonly #ranges: { start: number; end: number }[] = []
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
    const [first] = this.#ranges
    return this.#ranges.length === 1 && first?.start === 0 && first.end === this.sizeBytes
  }

  read(into: Uint8Array, at: number, length: number, position: number): number {
    return this.#files.read(this.fd, into, at, length, position)
  }

  write(data: Uint8Array, position: number): void {
    this.#files.write(this.fd, data, 0, data.length, position)
    this.writes++
    this.#add(position, position + data.length)
  }

  truncate(sizeBytes: number): void {
    this.#files.truncate(this.fd, sizeBytes)
    this.writes++
    while ((this.#ranges.at(-1)?.start ?? -1) >= sizeBytes) this.#ranges.pop()
    const last = this.#ranges.at(-1)
    if (last !== undefined) last.end = Math.min(last.end, sizeBytes)
  }

  sync(): void {
    this.#files.sync(this.fd)
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

  #add(start: number, end: number): void {
    const ranges = this.#ranges
    let first = ranges.length
    while (first > 0 && (ranges[first - 1]?.end ?? 0) >= start) first--
    let after = first
    const merged = { start, end }
    for (let range = ranges[after]; range !== undefined && range.start <= end; range = ranges[++after]) {
      merged.start = Math.min(merged.start, range.start)
      merged.end = Math.max(merged.end, range.end)
    }
    ranges.splice(first, after - first, merged)
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
