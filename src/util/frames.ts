/** Messages on a pipe between processes of one node: a JSON header and, if there is one, a body of bytes. */

const PREFIX_SIZE = 8
/** Nothing that a node says to its own processes is larger; what is goes by a file. */
const MAX_HEADER_SIZE = 1 << 20
const MAX_BODY_SIZE = 64 << 20

export interface Frame {
  readonly header: unknown
  readonly body: Uint8Array
}

export function marshalFrame(header: unknown, body: Uint8Array = new Uint8Array(0)): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(PREFIX_SIZE)
  prefix.writeUInt32BE(text.length, 0)
  prefix.writeUInt32BE(body.length, 4)
  return Buffer.concat([prefix, text, body])
}

/** Takes chunks as they come, gives whole frames. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0)

  /** Throws on a length that no frame has. */
  push(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = []
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (this.#rest.length - at >= PREFIX_SIZE) {
      const headerSize = this.#rest.readUInt32BE(at)
      const bodySize = this.#rest.readUInt32BE(at + 4)
      if (headerSize > MAX_HEADER_SIZE || bodySize > MAX_BODY_SIZE) {
        throw new Error(`a frame of ${headerSize} and ${bodySize} bytes is none of ours`)
      }
      const end = at + PREFIX_SIZE + headerSize + bodySize
      if (this.#rest.length < end) break
      const bodyAt = at + PREFIX_SIZE + headerSize
      const header: unknown = JSON.parse(this.#rest.toString('utf8', at + PREFIX_SIZE, bodyAt))
      frames.push({ header, body: this.#rest.subarray(bodyAt, end) })
      at = end
    }
    this.#rest = this.#rest.subarray(at)
    return frames
  }
}
