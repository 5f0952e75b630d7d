/**
 * The kernel's side of the FUSE protocol: the bridge does on a socket what the kernel does on a device. A message is a
 * request or a reply. The session answers each request before the bridge sends the next one.
 */

import fs from 'node:fs'
import {
  IN_HEADER,
  INIT_FLAG,
  INIT_IN,
  KERNEL_MAJOR,
  KERNEL_MINOR,
  OPCODE,
  type OpcodeName,
  OUT_HEADER,
} from '../protocol/kernel.ts'

const TWO_TO_32 = 0x1_0000_0000
/** More than libfuse 2 reads or writes at once (128 KiB), and less than a socket's largest message. */
const BUFFER_BYTES = 192 << 10
/** The flags that the session requires of a kernel (init.ts). The kernel and libfuse negotiate their own. */
const FLAGS = INIT_FLAG.ATOMIC_O_TRUNC | INIT_FLAG.BIG_WRITES | INIT_FLAG.MAX_PAGES | INIT_FLAG.NO_OPENDIR_SUPPORT

/** The file system's error, with its errno as a positive number. */
export class WireError extends Error {
  readonly errno: number

  constructor(errno: number) {
    super(`errno ${errno}`)
    this.name = 'WireError'
    this.errno = errno
  }
}

/** A message in a reused buffer. Offsets count from the end of its header. */
export class WireMessage {
  readonly bytes = Buffer.from(new ArrayBuffer(BUFFER_BYTES))
  readonly words = new Uint32Array(this.bytes.buffer)
  length = 0
  readonly #header: number

  constructor(headerSize: number) {
    this.#header = headerSize
  }

  /** Bytes after the header. */
  get size(): number {
    return this.length - this.#header
  }

  u32(offset: number): number {
    return this.words[(this.#header + offset) >> 2] as number
  }

  u64(offset: number): number {
    return this.u32(offset) + this.u32(offset + 4) * TWO_TO_32
  }

  slice(offset: number, size: number): Buffer {
    return this.bytes.subarray(this.#header + offset, this.#header + offset + size)
  }

  set32(offset: number, value: number): this {
    this.words[(this.#header + offset) >> 2] = value
    return this
  }

  set64(offset: number, value: number): this {
    return this.set32(offset, value).set32(offset + 4, Math.floor(value / TWO_TO_32))
  }

  /** Appends a struct of zeros, to be filled in. Structs come before names and data. */
  struct(size: number): this {
    this.bytes.fill(0, this.length, this.length + size)
    this.length += size
    return this
  }

  /** Appends a name, with a zero byte at its end. */
  text(text: string): this {
    this.length += this.bytes.write(text, this.length)
    this.bytes[this.length++] = 0
    return this
  }

  data(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
    return this
  }
}

/** The bridge's end of the session's socket. */
export class Wire {
  readonly request = new WireMessage(IN_HEADER.SIZE)
  readonly reply = new WireMessage(OUT_HEADER.SIZE)
  readonly #socket: number
  readonly #closed: () => never
  #unique = 0

  /** `closed` is called when the session has ended. */
  constructor(socket: number, closed: () => never) {
    this.#socket = socket
    this.#closed = closed
  }

  /** Sends INIT without waiting for the answer, because the session starts after the mount. */
  begin(): void {
    const request = this.#prepare('INIT', 0).struct(INIT_IN.SIZE)
    request.set32(INIT_IN.major, KERNEL_MAJOR).set32(INIT_IN.minor, KERNEL_MINOR).set32(INIT_IN.flags, FLAGS)
    this.#write()
  }

  /** Sends a request that `fill` completes. Returns its answer, valid until the next request. Throws WireError. */
  call(opcode: OpcodeName, node: number, fill?: (request: WireMessage) => unknown): WireMessage {
    const request = this.#prepare(opcode, node)
    fill?.(request)
    this.#write()
    const { reply } = this
    do reply.length = this.#receive()
    while (reply.words[OUT_HEADER.unique >> 2] !== this.#unique) // Skips the answer to `begin`.
    const errno = -((reply.words[OUT_HEADER.error >> 2] as number) | 0)
    if (errno !== 0) throw new WireError(errno)
    return reply
  }

  /** Sends a request that has no answer. */
  send(opcode: OpcodeName, node: number, fill: (request: WireMessage) => unknown): void {
    fill(this.#prepare(opcode, node))
    this.#write()
  }

  #prepare(opcode: OpcodeName, node: number): WireMessage {
    const { request } = this
    const { words } = request
    this.#unique = (this.#unique + 1) >>> 0
    words.fill(0, 0, IN_HEADER.SIZE >> 2)
    words[IN_HEADER.opcode >> 2] = OPCODE[opcode]
    words[IN_HEADER.unique >> 2] = this.#unique
    words[IN_HEADER.nodeid >> 2] = node
    words[(IN_HEADER.nodeid >> 2) + 1] = Math.floor(node / TWO_TO_32)
    // fuse-native does not pass the caller, which libfuse knows.
    words[IN_HEADER.uid >> 2] = process.geteuid?.() ?? 0
    words[IN_HEADER.gid >> 2] = process.getegid?.() ?? 0
    words[IN_HEADER.pid >> 2] = process.pid
    request.length = IN_HEADER.SIZE
    return request
  }

  #write(): void {
    const { request } = this
    request.words[IN_HEADER.len >> 2] = request.length
    try {
      fs.writeSync(this.#socket, request.bytes, 0, request.length)
    } catch {
      this.#closed()
    }
  }

  #receive(): number {
    try {
      const length = fs.readSync(this.#socket, this.reply.bytes, 0, BUFFER_BYTES, null)
      return length === 0 ? this.#closed() : length
    } catch {
      return this.#closed()
    }
  }
}
