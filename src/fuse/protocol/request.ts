/** A request from the kernel, read in place from a reused buffer. */

import { decodeName } from '../../util/path-bytes.ts'
import type { Caller } from '../content.ts'
import { rejection } from '../errno.ts'
import { IN_HEADER, MAX_TRANSFER, PAGE_SIZE } from './kernel.ts'

const TWO_TO_32 = 0x1_0000_0000

export class Request implements Caller {
  /** The kernel rejects a read with a buffer that is too small for its largest request. */
  readonly bytes = Buffer.from(new ArrayBuffer(MAX_TRANSFER + PAGE_SIZE))
  readonly words = new Uint32Array(this.bytes.buffer)
  opcode = 0
  nodeId = 0
  uid = 0
  gid = 0
  tid = 0
  #length = 0
  #cursor = 0

  /** By which the answer and an interrupt name the request. */
  get unique(): number {
    return this.#wide(IN_HEADER.unique)
  }

  /** The message, for `restore`. */
  copy(): Uint8Array {
    return Uint8Array.from(this.bytes.subarray(0, this.#length))
  }

  /** Puts a message where the kernel's next one would be, and returns its length. */
  restore(message: Uint8Array): number {
    this.bytes.set(message)
    return message.length
  }

  /** Starts a message of `length` bytes in `bytes`. */
  begin(length: number): void {
    if (length < IN_HEADER.SIZE || this.words[IN_HEADER.len / 4] !== length) {
      throw new Error(`a FUSE request of ${length} bytes does not have the length that it states`)
    }
    this.#length = length
    this.#cursor = IN_HEADER.SIZE
    this.opcode = this.#word(IN_HEADER.opcode)
    this.nodeId = this.#wide(IN_HEADER.nodeid)
    this.uid = this.#word(IN_HEADER.uid)
    this.gid = this.#word(IN_HEADER.gid)
    this.tid = this.#word(IN_HEADER.pid)
  }

  /** Skips the operation's fixed struct of `size` bytes. Names or data follow it. */
  struct(size: number): void {
    if (this.#cursor + size > this.#length) throw rejection('EINVAL')
    this.#cursor += size
  }

  /** A 32-bit field of the struct that comes right after the header. */
  u32(offset: number): number {
    return this.#word(IN_HEADER.SIZE + offset)
  }

  /** A 64-bit field as a number: exact up to 2^53, above that rounded, but still above 2^53. */
  u64(offset: number): number {
    return this.#wide(IN_HEADER.SIZE + offset)
  }

  /** A signed 64-bit field as a number. */
  i64(offset: number): number {
    return this.u32(offset) + (this.u32(offset + 4) | 0) * TWO_TO_32
  }

  /** A position in a file. No backing file system has files beyond 2^53 bytes. */
  position(offset: number): number {
    const position = this.u64(offset)
    if (position > Number.MAX_SAFE_INTEGER - MAX_TRANSFER) throw rejection('EFBIG')
    return position
  }

  /** The next NUL-terminated string: a name, or the target of a link, of any bytes (util/path-bytes.ts). */
  string(): string {
    const end = this.bytes.indexOf(0, this.#cursor)
    if (end < 0 || end >= this.#length) throw rejection('EINVAL')
    const text = decodeName(this.bytes, this.#cursor, end)
    this.#cursor = end + 1
    return text
  }

  /** Whether the next string is `text`, in ASCII. */
  beginsWith(text: string): boolean {
    const end = this.#cursor + text.length
    return this.bytes[end] === 0 && this.bytes.toString('latin1', this.#cursor, end) === text
  }

  /** The strings after the operation's fixed struct of `size` bytes, in latin1. They are read again later. */
  stringsAfter(size: number): string[] {
    return this.bytes.toString('latin1', this.#cursor + size, this.#length).split('\0')
  }

  /** The next name of a directory entry. Rejects names that could lead out of the tree; the kernel sends none. */
  name(): string {
    const name = this.string()
    if (name === '' || name === '.' || name === '..' || name.includes('/')) throw rejection('EINVAL')
    return name
  }

  /** The next `size` bytes, valid until the next request. */
  data(size: number): Uint8Array {
    const start = this.#cursor
    this.struct(size)
    return this.bytes.subarray(start, start + size)
  }

  #word(offset: number): number {
    return this.words[offset >> 2] as number
  }

  #wide(offset: number): number {
    return this.#word(offset) + this.#word(offset + 4) * TWO_TO_32
  }
}
