/** A notification to the kernel: a message that answers no request. */

import fs from 'node:fs'
import { errorCode } from '../../util/errors.ts'
import { OUT_HEADER } from './kernel.ts'

const TWO_TO_32 = 0x1_0000_0000

export class Message {
  readonly bytes: Buffer
  readonly #words: Uint32Array

  /** `code` is one of NOTIFY. `size` is the number of bytes after the header. */
  constructor(code: number, size: number) {
    const length = OUT_HEADER.SIZE + size
    const buffer = new ArrayBuffer((length + 7) & ~7)
    this.bytes = Buffer.from(buffer, 0, length)
    this.#words = new Uint32Array(buffer)
    this.#words[OUT_HEADER.len >> 2] = length
    this.#words[OUT_HEADER.error >> 2] = code
  }

  u32(offset: number, value: number): void {
    this.#words[(OUT_HEADER.SIZE + offset) >> 2] = value
  }

  u64(offset: number, value: number): void {
    this.u32(offset, value)
    this.u32(offset + 4, Math.floor(value / TWO_TO_32))
  }

  /** Returns false when the kernel does not know the file, the mount is gone, or `device` is a bridge's socket. */
  send(device: number): boolean {
    try {
      if (fs.fstatSync(device).isSocket()) return false
      fs.writeSync(device, this.bytes, 0, this.bytes.length, null)
      return true
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENOTCONN' || code === 'ENOTDIR') return false
      throw error
    }
  }
}
