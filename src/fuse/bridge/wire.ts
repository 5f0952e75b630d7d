/**
 * The other side of the FUSE protocol: what the kernel does on a device, the bridge does on a socket. One message is one request or one
 * reply, and each request is answered before the next one is sent.
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
/** Above what libfuse 2 reads or writes at once, which is 128 KiB, and below what a socket takes. */
const BUFFER_BYTES = 192 << 10
/** What the session needs of a kernel (init.ts). What it means is for the kernel and libfuse to agree on between themselves. */
const FLAGS = INIT_FLAG.ATOMIC_O_TRUNC | INIT_FLAG.BIG_WRITES | INIT_FLAG.MAX_PAGES | INIT_FLAG.NO_OPENDIR_SUPPORT

/** The errno that the file system answered with, as a positive number. */
export class WireError extends Error {
  readonly errno: number

  constructor(errno: number) {
    super(`errno ${errno}`)
    this.name = 'WireError'
    this.errno = errno
  }
}

/** A message in a buffer that is used again and again. Offsets count from behind its header. */
export class WireMessage {
  readonly bytes = Buffer.from(new ArrayBuffer(BUFFER_BYTES))
  readonly words = new Uint32Array(this.bytes.buffer)
  length = 0
  readonly #header: number

  constructor(headerSize: number) {
    this.#header = headerSize
  }

  /** How much there is behind the header. */
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

  /** A struct of zeros, to be filled in. Structs come before names and data. */
  struct(size: number): this {
    this.bytes.fill(0, this.length, this.length + size)
    this.length += size
    return this
  }

  /** A name, which ends with a zero byte. */
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

/** The session's socket, as the bridge sees it. */
export class Wire {
  readonly request = new WireMessage(IN_HEADER.SIZE)
  readonly reply = new WireMessage(OUT_HEADER.SIZE)
  readonly #socket: number
  readonly #closed: () => never
  #unique = 0

  /** `closed` is called when the session has gone. */
  constructor(socket: number, closed: () => never) {
    this.#socket = socket
    this.#closed = closed
  }

  /** The first exchange, of which the answer is not waited for: the session begins when the mount is there. */
  begin(): void {
    const request = this.#prepare('INIT', 0).struct(INIT_IN.SIZE)
    request.set32(INIT_IN.major, KERNEL_MAJOR).set32(INIT_IN.minor, KERNEL_MINOR).set32(INIT_IN.flags, FLAGS)
    this.#send()
  }

  /** Sends a request that `fill` completes, and returns the answer to it, valid until the next one. Throws WireError. */
  ask(opcode: OpcodeName, node: number, fill?: (request: WireMessage) => unknown): WireMessage {
    const request = this.#prepare(opcode, node)
    fill?.(request)
    this.#send()
    const { reply } = this
    do reply.length = this.#receive()
    while (reply.words[OUT_HEADER.unique >> 2] !== this.#unique) // the answer to `begin`
    const errno = -((reply.words[OUT_HEADER.error >> 2] as number) | 0)
    if (errno !== 0) throw new WireError(errno)
    return reply
  }

  /** Sends a request that has no answer. */
  tell(opcode: OpcodeName, node: number, fill: (request: WireMessage) => unknown): void {
    fill(this.#prepare(opcode, node))
    this.#send()
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
    // who the caller is libfuse knows, and the package does not tell
    words[IN_HEADER.uid >> 2] = process.geteuid?.() ?? 0
    words[IN_HEADER.gid >> 2] = process.getegid?.() ?? 0
    words[IN_HEADER.pid >> 2] = process.pid
    request.length = IN_HEADER.SIZE
    return request
  }

  #send(): void {
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
