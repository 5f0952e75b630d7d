import fs from 'node:fs'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import {
  DATABASE_HEADER_SIZE,
  DATABASE_MAGIC_SIZE,
  encryptedHeader,
  foreignVersions,
  hasDatabaseMagic,
  isUnreadable,
  parseDatabaseHeader,
  sizePages,
} from '../sqlite/database-header.ts'
import { looksRandom, RANDOM_SIZE } from '../sqlite/random-bytes.ts'
import { type Files, parentOf, withFile } from '../util/files.ts'
import { describeForeign } from './rejection.ts'

/** What a database file says about itself. */
export interface FileState {
  readonly header: DatabaseHeader
  /** What the header claims, which may be anything. */
  readonly sizePages: number
  /** The length of the file. */
  readonly filePages: number
}

/** Whether a file holds a whole database. */
export interface FileCheck {
  readonly whole: boolean
  /** Why not, if the file has content. */
  readonly problem?: string
  /** The file begins with SQLite's magic string. */
  readonly begins?: boolean
  /** Its header has versions that SQLite does not know. */
  readonly isForeign?: boolean
  /** Its first bytes are zero: they are yet to be written. */
  readonly isBlank?: boolean
  /** It may be an encrypted database of several pages. */
  readonly looksEncrypted?: boolean
}

/** A database's file in the backing directory, whether the mount has it open or not. */
export class BackingFile {
  readonly path: string
  /** The tree's descriptor while the file is open on the mount; -1 otherwise. */
  fd = -1
  /** The page size if the first page is encrypted, which then does not tell it; otherwise 0. */
  encryptedPageSize = 0
  readonly #files: Files

  constructor(files: Files, path: string) {
    this.#files = files
    this.path = path
  }

  /** Calls `use` with the open descriptor, or with one of its own. Never follows a symbolic link. */
  use<T>(use: (fd: number) => T): T {
    if (this.fd >= 0) return use(this.fd)
    const fd = this.#files.open(this.path, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW)
    try {
      return use(fd)
    } finally {
      this.#files.close(fd)
    }
  }

  /** Makes it durable with its name and its side files, so that SQLite would recover it without a log. */
  syncAll(): void {
    const files = this.#files
    this.use((fd) => files.sync(fd))
    for (const path of [`${this.path}-wal`, `${this.path}-journal`])
      if (files.exists(path) && files.status(path)?.isFile() === true)
        withFile(files, path, fs.constants.O_RDONLY, (fd) => files.sync(fd))
    files.syncDirectory(parentOf(this.path))
  }

  /** Header and size in pages; undefined if the file is missing or holds no database. */
  state(): FileState | undefined {
    if (this.fd < 0 && !this.#files.exists(this.path)) return undefined
    return this.use((fd) => this.stateOf(fd))
  }

  /** `isOwn`: false if `fd` is another file, which has to be readable. */
  stateOf(fd: number, isOwn = true): FileState | undefined {
    const bytes = this.beginning(fd)
    const isEncrypted = isOwn && this.encryptedPageSize > 0 && isUnreadable(bytes)
    const header = isEncrypted ? encryptedHeader(this.encryptedPageSize) : parseDatabaseHeader(bytes)
    if (header === undefined) return undefined
    const sizeBytes = this.#files.size(fd)
    const filePages = Math.ceil(sizeBytes / header.pageSize)
    return { header, sizePages: sizePages(header, sizeBytes), filePages }
  }

  /** Whether the file holds a whole database; if it has content but does not, `problem` says why. */
  check(): FileCheck {
    return this.#files.exists(this.path) ? this.use((fd) => this.checkOf(fd, true)) : { whole: false }
  }

  /**
   * Takes the file for an encrypted database with pages of that size. False if it cannot be one: it is empty, readable,
   * or no whole number of pages.
   */
  assumeEncrypted(pageSize: number): boolean {
    if (this.fd < 0 && !this.#files.exists(this.path)) return false
    const isEncrypted = this.use((fd) => this.#files.size(fd) % pageSize === 0 && isUnreadable(this.beginning(fd)))
    if (isEncrypted) this.encryptedPageSize = pageSize
    return isEncrypted
  }

  checkOf(fd: number, isOwn = false): FileCheck {
    const state = this.stateOf(fd, isOwn)
    const sizeBytes = this.#files.size(fd)
    if (sizeBytes === 0) return { whole: false }
    if (state === undefined) {
      const bytes = this.beginning(fd)
      const isBlank = bytes.subarray(0, DATABASE_MAGIC_SIZE).every((byte) => byte === 0)
      const isForeign = foreignVersions(bytes) !== undefined
      const looksEncrypted = this.#looksEncrypted(fd, sizeBytes)
      const begins = hasDatabaseMagic(bytes)
      return { whole: false, problem: headerProblem(bytes), begins, isForeign, isBlank, looksEncrypted }
    }
    if (isNearlyEmpty(fd, sizeBytes)) {
      return { whole: false, problem: 'nearly all of it is a hole, which no SQLite writes', begins: true }
    }
    const whole = state.sizePages > 0 && sizeBytes >= state.sizePages * state.header.pageSize
    return whole ? { whole } : { whole, problem: 'it is shorter than its header says', begins: true }
  }

  /** Several pages, the first of which is as random as a cipher makes it. */
  #looksEncrypted(fd: number, sizeBytes: number): boolean {
    if (sizeBytes <= RANDOM_SIZE || sizeBytes % SMALLEST_PAGE !== 0) return false
    const bytes = new Uint8Array(RANDOM_SIZE)
    return this.#files.read(fd, bytes, 0, bytes.length, 0) === bytes.length && looksRandom(bytes)
  }

  beginning(fd: number): Uint8Array {
    const bytes = new Uint8Array(DATABASE_HEADER_SIZE)
    return bytes.subarray(0, this.#files.read(fd, bytes, 0, bytes.length, 0))
  }
}

/** The smallest page of SQLite: each database is a multiple of it. */
const SMALLEST_PAGE = 512
/** Shorter files are read whatever they hold. */
const LARGE_BYTES = 2 ** 30
/** `st_blocks` counts these, whatever the file system's own size of a block. */
const BLOCK_BYTES = 512
/** More than any file system saves by compression. */
const MAX_RATIO = 64

/** A hole costs whoever makes it nothing, and its pages cost memory and time like others (I10). */
export function isNearlyEmpty(fd: number, sizeBytes: number): boolean {
  return sizeBytes > LARGE_BYTES && fs.fstatSync(fd).blocks * BLOCK_BYTES < sizeBytes / MAX_RATIO
}

/** Why a file that begins with `bytes` is no database. */
export function headerProblem(bytes: Uint8Array): string {
  const versions = foreignVersions(bytes)
  return versions === undefined ? 'it does not begin with a SQLite header' : `it has ${describeForeign(versions)}`
}
