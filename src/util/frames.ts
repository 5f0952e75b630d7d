/**
 * Frames of messages: between the processes of a node, and between nodes. A frame is
 *
 * | at  | size | field                                      |
 * |-----|------|--------------------------------------------|
 * | 0   | 4    | length of the header in bytes, big-endian  |
 * | 4   | 4    | length of the body in bytes, big-endian    |
 * | 8   |      | header: one message as JSON                |
 * |     |      | body: bytes that belong to it              |
 *
 * Both lengths are checked before any memory is allocated for them (I10).
 */

export const PREFIX_SIZE = 8

export interface Frame {
  /** The result of JSON.parse. */
  readonly header: unknown
  readonly body: Uint8Array
}

export interface FrameFormat {
  readonly maxHeaderBytes: number
  readonly maxBodyBytes: number
  /** Makes the error to throw for bytes that are no frame. */
  readonly error: (problem: string, options?: ErrorOptions) => Error
}

/** Frames between a node and its local client. A transaction above 64 MiB travels in a file instead. */
export const PIPE_FRAMES: FrameFormat = {
  maxHeaderBytes: 1 << 20,
  maxBodyBytes: 64 << 20,
  error: (problem, options) => new Error(`bad frame on the pipe to the local client: ${problem}`, options),
}

const NOTHING = new Uint8Array(0)
const decoder = new TextDecoder('utf-8', { fatal: true })

/** One frame as one buffer. Several bodies are joined. */
export function encodeFrame(format: FrameFormat, header: object, ...bodies: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const bodyBytes = bodies.reduce((sum, { length }) => sum + length, 0)
  if (json.length > format.maxHeaderBytes || bodyBytes > format.maxBodyBytes) {
    throw format.error(`a frame with ${json.length} and ${bodyBytes} bytes is too large to send`)
  }
  const frame = Buffer.allocUnsafe(PREFIX_SIZE + json.length + bodyBytes)
  frame.writeUInt32BE(json.length, 0)
  frame.writeUInt32BE(bodyBytes, 4)
  json.copy(frame, PREFIX_SIZE)
  let at = PREFIX_SIZE + json.length
  for (const body of bodies) {
    frame.set(body, at)
    at += body.length
  }
  return frame
}

/** Cuts chunks of any size into frames. Buffers at most one incomplete frame, and never more than was received. */
export class FrameParser {
  readonly #format: FrameFormat
  #chunks: Uint8Array[] = []
  #length = 0
  #headerBytes: number | undefined
  #bodyBytes = 0
  #failed: Error | undefined

  constructor(format: FrameFormat) {
    this.#format = format
  }

  /** Bytes of the frame that is still incomplete. */
  get pendingBytes(): number {
    return this.#length
  }

  /**
   * The frames that `chunk` completes; their bodies may be views of it. After one error, every call throws that error.
   */
  *push(chunk: Uint8Array): Generator<Frame, void, void> {
    if (this.#failed !== undefined) throw this.#failed
    if (chunk.length > 0) this.#chunks.push(chunk)
    this.#length += chunk.length
    for (;;) {
      if (this.#headerBytes === undefined) {
        if (this.#length < PREFIX_SIZE) return
        this.#readPrefix(this.#take(PREFIX_SIZE))
      }
      const headerBytes = this.#headerBytes ?? 0
      if (this.#length < headerBytes + this.#bodyBytes) return
      const header = this.#parse(this.#take(headerBytes))
      const body = this.#take(this.#bodyBytes)
      this.#headerBytes = undefined
      yield { header, body }
    }
  }

  /** Throws if the stream ended inside a frame. */
  end(): void {
    if (this.#length > 0 || this.#headerBytes !== undefined) throw this.#fail('the stream ends inside a frame')
  }

  #readPrefix(prefix: Uint8Array): void {
    const { maxHeaderBytes, maxBodyBytes } = this.#format
    const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_SIZE)
    const headerBytes = view.getUint32(0)
    const bodyBytes = view.getUint32(4)
    if (headerBytes < 2 || headerBytes > maxHeaderBytes) {
      throw this.#fail(`a header of ${headerBytes} bytes, expected 2 to ${maxHeaderBytes}`)
    }
    if (bodyBytes > maxBodyBytes) throw this.#fail(`a body of ${bodyBytes} bytes, expected up to ${maxBodyBytes}`)
    this.#headerBytes = headerBytes
    this.#bodyBytes = bodyBytes
  }

  #parse(bytes: Uint8Array): unknown {
    try {
      return JSON.parse(decoder.decode(bytes)) as unknown
    } catch (error) {
      throw this.#fail('a header is not JSON', { cause: error })
    }
  }

  /** The next bytes; copied only where they span several chunks. */
  #take(length: number): Uint8Array {
    if (length === 0) return NOTHING
    this.#length -= length
    const first = this.#chunks[0] as Uint8Array
    if (first.length > length) {
      this.#chunks[0] = first.subarray(length)
      return first.subarray(0, length)
    }
    if (first.length === length) return this.#chunks.shift() as Uint8Array
    const joined = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      const chunk = this.#chunks[0] as Uint8Array
      const part = chunk.subarray(0, length - filled)
      joined.set(part, filled)
      filled += part.length
      if (part.length === chunk.length) this.#chunks.shift()
      else this.#chunks[0] = chunk.subarray(part.length)
    }
    return joined
  }

  #fail(problem: string, options?: ErrorOptions): Error {
    this.#failed = this.#format.error(problem, options)
    this.#chunks = []
    return this.#failed
  }
}
