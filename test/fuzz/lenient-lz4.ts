/**
 * A lenient LZ4 decoder after pierrec/lz4 4.1.23, the one in superfly/ltx 0.5.3. It is slow and verifies no checksum.
 * The fuzzer needs the content of a mutated page for a correct file checksum, and may not ask the decoder under test.
 */

/** Decompresses a block to `into[at …]`, with the data before it as `dictionary`. Returns the byte count, or -1. */
export function readBlock(block: Uint8Array, into: Uint8Array, at: number, dictionary: Uint8Array): number {
  let ip = 0
  let op = at
  const more = (nibble: number) => {
    if (nibble < 15) return nibble
    let sum = nibble
    for (let byte = 255; byte === 255; sum += byte) {
      if (ip >= block.length) return Infinity
      byte = block[ip++]!
    }
    return sum
  }
  while (ip < block.length) {
    const token = block[ip++]!
    const literals = more(token >> 4)
    if (literals > block.length - ip || literals > into.length - op) return -1
    into.set(block.subarray(ip, ip + literals), op)
    ip += literals
    op += literals
    if (ip === block.length) return (token & 15) === 0 ? op - at : -1
    if (ip + 2 > block.length) return -1
    const offset = block[ip]! | (block[ip + 1]! << 8)
    ip += 2
    if (offset === 0 || offset > op - at + dictionary.length) return -1
    const match = more(token & 15) + 4
    if (match > into.length - op) return -1
    for (let n = 0; n < match; n++, op++) {
      const from = op - at - offset
      into[op] = from >= 0 ? into[at + from]! : dictionary[dictionary.length + from]!
    }
  }
  return op - at
}

const MAGIC = 0x184d2204
const WINDOW = 65536

/** Decompresses the frames of one file in order: blocks may refer to earlier pages. */
export class LenientFrames {
  #history: Uint8Array = new Uint8Array(0)

  /**
   * Fills `page` from one frame or several. Returns the number of bytes read, without an end mark and checksum after
   * the page, or -1 if the frames are not valid.
   */
  read(bytes: Uint8Array, page: Uint8Array): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let at = 0
    let filled = 0
    try {
      for (;;) {
        const magic = view.getUint32(at, true)
        if (magic >>> 8 === 0x184d2a) {
          at += 8 + view.getUint32(at + 4, true)
          continue
        }
        if (magic !== MAGIC) return -1
        const flags = view.getUint8(at + 4)
        at += (flags & 0x08) === 0 ? 7 : 15
        for (;;) {
          const field = view.getUint32(at, true)
          at += 4
          if (field === 0) break
          const size = field & 0x7fffffff
          if (at + size > bytes.length) return -1
          const read = this.#block(bytes.subarray(at, at + size), field >= 0x80000000, page, filled, flags)
          if (read < 0) return -1
          at += size + ((flags & 0x10) === 0 ? 0 : 4)
          filled += read
          if (filled === page.length) return at
        }
        at += (flags & 0x04) === 0 ? 0 : 4
      }
    } catch (error) {
      if (error instanceof RangeError) return -1
      throw error
    }
  }

  #block(data: Uint8Array, raw: boolean, page: Uint8Array, filled: number, flags: number): number {
    const room = page.length - filled
    const read = raw ? (data.length > room ? -1 : data.length) : readBlock(data, page, filled, this.#history)
    if (read < 0) return -1
    if (raw) page.set(data, filled)
    if ((flags & 0x20) === 0) {
      const both = Buffer.concat([this.#history, page.subarray(filled, filled + read)])
      this.#history = new Uint8Array(both.subarray(Math.max(0, both.length - WINDOW)))
    }
    return read
  }
}
