/** A reply to the kernel, built in place in a reused buffer. */

import fs from 'node:fs'
import { errorCode } from '../../util/errors.ts'
import { writeName } from '../../util/path-bytes.ts'
import type { HeldReply } from '../content.ts'
import type { Attributes, DirectorySink, Entry, FileSystemStatistics, Opened } from '../filesystem.ts'
import { BACKING_INODES, type Inodes } from './inodes.ts'
import {
  ATTR,
  ATTR_OUT,
  DIRENT,
  ENTRY_OUT,
  IN_HEADER,
  MAX_TRANSFER,
  OPEN_OUT,
  OPEN_REPLY,
  OUT_HEADER,
  PAGE_SIZE,
  STATFS_OUT,
  WRITE_OUT,
} from './kernel.ts'
import type { Request } from './request.ts'

const TWO_TO_32 = 0x1_0000_0000
/** The kernel limits a validity to the range of its clock, so this many seconds never end. */
const FOREVER_SECONDS = 0x7fff_ffff
const NAME_MAX = 255
const FILE_TYPE_BITS = 0o170000

/** Answers a held request with success (0) or an error, without data. */
export function answerEmpty(device: number, uniqueLow: number, uniqueHigh: number, errno: number): void {
  const words = new Uint32Array(OUT_HEADER.SIZE >> 2)
  words[OUT_HEADER.len >> 2] = OUT_HEADER.SIZE
  words[OUT_HEADER.error >> 2] = -errno
  words[OUT_HEADER.unique >> 2] = uniqueLow
  words[(OUT_HEADER.unique >> 2) + 1] = uniqueHigh
  sendReply(device, new Uint8Array(words.buffer), OUT_HEADER.SIZE)
}

/** Answers a held write with success. */
export function answerWritten(device: number, uniqueLow: number, uniqueHigh: number, size: number): void {
  const words = new Uint32Array((OUT_HEADER.SIZE + WRITE_OUT.SIZE) >> 2)
  words[OUT_HEADER.len >> 2] = words.byteLength
  words[OUT_HEADER.unique >> 2] = uniqueLow
  words[(OUT_HEADER.unique >> 2) + 1] = uniqueHigh
  words[(OUT_HEADER.SIZE + WRITE_OUT.size) >> 2] = size
  sendReply(device, new Uint8Array(words.buffer), words.byteLength)
}

export function sendReply(device: number, bytes: Uint8Array, length: number): void {
  try {
    fs.writeSync(device, bytes, 0, length, null)
  } catch (error) {
    // ENOENT: the caller was interrupted. ENODEV, EPIPE: mount or bridge is gone, which the next read reports.
    const code = errorCode(error)
    if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EPIPE') throw error
  }
}

export class Reply implements DirectorySink {
  readonly bytes = Buffer.from(new ArrayBuffer(OUT_HEADER.SIZE + MAX_TRANSFER + PAGE_SIZE))
  readonly words = new Uint32Array(this.bytes.buffer)
  /** Bytes to send. 0: this request has no reply. */
  length = 0
  /** The operation removed mode bits of its file, for which this reply has no field. */
  modeChanged = false
  readonly #inodes: Inodes
  #listingEnd = 0
  #listingHasEntries = false

  constructor(inodes: Inodes = BACKING_INODES) {
    this.#inodes = inodes
  }

  /** An empty success for `request`, to be extended or replaced. */
  begin(request: Request): void {
    const words = this.words
    words[OUT_HEADER.unique >> 2] = request.words[IN_HEADER.unique >> 2] as number
    words[(OUT_HEADER.unique >> 2) + 1] = request.words[(IN_HEADER.unique >> 2) + 1] as number
    words[OUT_HEADER.error >> 2] = 0
    this.length = OUT_HEADER.SIZE
    this.modeChanged = false
  }

  /** Sets the header's length. Called once, before sending. */
  seal(): void {
    this.words[OUT_HEADER.len >> 2] = this.length
  }

  none(): void {
    this.length = 0
  }

  /** Leaves the answer to another thread, which may send it at once. */
  hold(held: HeldReply): void {
    const at = OUT_HEADER.unique >> 2
    this.length = 0
    held.answerTo(this.words[at] as number, this.words[at + 1] as number)
  }

  error(errno: number): void {
    this.words[OUT_HEADER.error >> 2] = -errno
    this.length = OUT_HEADER.SIZE
  }

  /** The reply's data: `size` bytes that the caller wrote at OUT_HEADER.SIZE. */
  payload(size: number): void {
    this.length = OUT_HEADER.SIZE + size
  }

  data(bytes: Uint8Array): void {
    this.bytes.set(bytes, OUT_HEADER.SIZE)
    this.payload(bytes.length)
  }

  entry(entry: Entry): void {
    this.#entry(this.length, entry)
    this.length += ENTRY_OUT.SIZE
  }

  /** "No such name". The kernel caches this reply, but not an ENOENT. */
  noEntry(): void {
    this.words.fill(0, this.length >> 2, (this.length + ENTRY_OUT.SIZE) >> 2)
    this.#wide(this.length + ENTRY_OUT.entry_valid, FOREVER_SECONDS)
    this.length += ENTRY_OUT.SIZE
  }

  attributes(attributes: Attributes, cached: boolean): void {
    const at = this.length
    this.#wide(at + ATTR_OUT.attr_valid, cached ? FOREVER_SECONDS : 0)
    this.#wide(at + ATTR_OUT.attr_valid_nsec, 0)
    this.#attr(at + ATTR_OUT.attr, attributes)
    this.length += ATTR_OUT.SIZE
  }

  opened(opened: Opened): void {
    const at = this.length
    this.#wide(at + OPEN_OUT.fh, opened.handle)
    const keep = opened.isStale === true ? 0 : OPEN_REPLY.KEEP_CACHE
    this.#wide(at + OPEN_OUT.open_flags, opened.cached ? keep : OPEN_REPLY.DIRECT_IO)
    this.length += OPEN_OUT.SIZE
  }

  written(size: number): void {
    this.#wide(this.length + WRITE_OUT.size, size)
    this.length += WRITE_OUT.SIZE
  }

  statistics(statistics: FileSystemStatistics): void {
    const at = this.length
    this.words.fill(0, at >> 2, (at + STATFS_OUT.SIZE) >> 2)
    this.#wide(at + STATFS_OUT.blocks, statistics.blocks)
    this.#wide(at + STATFS_OUT.bfree, statistics.bfree)
    this.#wide(at + STATFS_OUT.bavail, statistics.bavail)
    this.#wide(at + STATFS_OUT.files, statistics.files)
    this.#wide(at + STATFS_OUT.ffree, statistics.ffree)
    this.#word(at + STATFS_OUT.bsize, statistics.bsize)
    this.#word(at + STATFS_OUT.namelen, NAME_MAX)
    this.#word(at + STATFS_OUT.frsize, statistics.bsize)
    this.length += STATFS_OUT.SIZE
  }

  /** Directory entries follow, `size` bytes at most. */
  beginListing(size: number, withEntries: boolean): void {
    this.#listingEnd = OUT_HEADER.SIZE + Math.min(size, MAX_TRANSFER)
    this.#listingHasEntries = withEntries
  }

  fits(nameBytes: number): boolean {
    const entry = this.#listingHasEntries ? ENTRY_OUT.SIZE : 0
    return this.length + entry + align8(DIRENT.SIZE + nameBytes) <= this.#listingEnd
  }

  add(name: string, nameBytes: number, ino: number, mode: number, cookie: number, entry: Entry | undefined): void {
    if (this.#listingHasEntries) {
      if (entry === undefined) this.words.fill(0, this.length >> 2, (this.length + ENTRY_OUT.SIZE) >> 2)
      else this.#entry(this.length, entry)
      this.length += ENTRY_OUT.SIZE
    }
    const at = this.length
    const end = at + align8(DIRENT.SIZE + nameBytes)
    this.#wide(end - 8, 0) // Zero padding, which the name partly overwrites.
    this.#wide(at + DIRENT.ino, this.#inodes.shown(ino))
    this.#wide(at + DIRENT.off, cookie)
    this.#word(at + DIRENT.namelen, nameBytes)
    this.#word(at + DIRENT.type, (mode & FILE_TYPE_BITS) >> 12)
    writeName(this.bytes, name, at + DIRENT.SIZE)
    this.length = end
  }

  #entry(at: number, entry: Entry): void {
    const seconds = entry.cached ? FOREVER_SECONDS : 0
    this.#wide(at + ENTRY_OUT.nodeid, entry.nodeId)
    this.#wide(at + ENTRY_OUT.generation, 0)
    this.#wide(at + ENTRY_OUT.entry_valid, seconds)
    this.#wide(at + ENTRY_OUT.attr_valid, seconds)
    this.#wide(at + ENTRY_OUT.entry_valid_nsec, 0)
    this.#attr(at + ENTRY_OUT.attr, entry.attributes)
  }

  #attr(at: number, attributes: Attributes): void {
    this.#wide(at + ATTR.ino, this.#inodes.shown(attributes.ino))
    this.#wide(at + ATTR.size, attributes.size)
    this.#wide(at + ATTR.blocks, attributes.blocks)
    this.#time(at + ATTR.atime, at + ATTR.atimensec, attributes.atimeMs)
    this.#time(at + ATTR.mtime, at + ATTR.mtimensec, attributes.mtimeMs)
    this.#time(at + ATTR.ctime, at + ATTR.ctimensec, attributes.ctimeMs)
    this.#word(at + ATTR.mode, attributes.mode)
    this.#word(at + ATTR.nlink, attributes.nlink)
    this.#word(at + ATTR.uid, attributes.uid)
    this.#word(at + ATTR.gid, attributes.gid)
    this.#word(at + ATTR.rdev, attributes.rdev)
    this.#word(at + ATTR.blksize, attributes.blksize)
    this.#word(at + ATTR.flags, 0)
  }

  /** Node's times are doubles of milliseconds, exact to 0.25 µs, so whole microseconds survive a round trip. */
  #time(at: number, nanosecondsAt: number, ms: number): void {
    const microseconds = Math.round(ms * 1000)
    const seconds = Math.floor(microseconds / 1e6)
    this.#wide(at, seconds)
    this.#word(nanosecondsAt, (microseconds - seconds * 1e6) * 1000)
  }

  #word(at: number, value: number): void {
    this.words[at >> 2] = value
  }

  #wide(at: number, value: number): void {
    this.words[at >> 2] = value
    this.words[(at >> 2) + 1] = Math.floor(value / TWO_TO_32)
  }
}

function align8(size: number): number {
  return (size + 7) & ~7
}
