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

/**
 * Cuts chunks of any size into frames. Holds at most one incomplete frame, in one buffer, which is at most twice as
 * large as what was received of it. Each byte costs about the same, however the chunks are cut.
 */
export class FrameParser {
  readonly #format: FrameFormat
  /** The incomplete frame, or the beginning of its prefix, in the first `#filled` bytes. */
  #buffer: Uint8Array = NOTHING
  #filled = 0
  #failed: Error | undefined

  constructor(format: FrameFormat) {
    this.#format = format
  }

  /** Bytes of the frame that is still incomplete. */
  get pendingBytes(): number {
    return this.#filled
  }

  /**
   * The frames that `chunk` completes; their bodies may be views of it. After one error, every call throws that error.
   */
  *push(chunk: Uint8Array): Generator<Frame, void, void> {
    if (this.#failed !== undefined) throw this.#failed
    let rest = chunk
    while (rest.length > 0) {
      if (this.#filled === 0) {
        const frameBytes = this.#frameBytes(rest, rest.length)
        if (frameBytes !== undefined && rest.length >= frameBytes) {
          const frame = rest.subarray(0, frameBytes)
          rest = rest.subarray(frameBytes)
          yield this.#parse(frame)
          continue
        }
      }
      rest = rest.subarray(this.#append(rest))
      const frameBytes = this.#frameBytes(this.#buffer, this.#filled)
      if (frameBytes === undefined || this.#filled < frameBytes) continue
      const frame = this.#buffer.subarray(0, frameBytes)
      this.#clear()
      yield this.#parse(frame)
    }
  }

  /** Throws if the stream ended inside a frame. */
  end(): void {
    if (this.#filled > 0) throw this.#fail('the stream ends inside a frame')
  }

  /** Appends the part of `bytes` that belongs to the current prefix or frame. Returns its length. */
  #append(bytes: Uint8Array): number {
    const wanted = this.#frameBytes(this.#buffer, this.#filled) ?? PREFIX_SIZE
    const part = bytes.subarray(0, wanted - this.#filled)
    const filled = this.#filled + part.length
    if (this.#buffer.length < filled) {
      const buffer = new Uint8Array(Math.min(wanted, Math.max(2 * this.#filled, filled)))
      buffer.set(this.#buffer.subarray(0, this.#filled))
      this.#buffer = buffer
    }
    this.#buffer.set(part, this.#filled)
    this.#filled = filled
    return part.length
  }

  /** The length of the frame that `bytes` begins with; undefined while its prefix is incomplete. */
  #frameBytes(bytes: Uint8Array, length: number): number | undefined {
    if (length < PREFIX_SIZE) return undefined
    const { maxHeaderBytes, maxBodyBytes } = this.#format
    const [headerBytes, bodyBytes] = lengths(bytes)
    if (headerBytes < 2 || headerBytes > maxHeaderBytes) {
      throw this.#fail(`a header of ${headerBytes} bytes, expected 2 to ${maxHeaderBytes}`)
    }
    if (bodyBytes > maxBodyBytes) throw this.#fail(`a body of ${bodyBytes} bytes, expected up to ${maxBodyBytes}`)
    return PREFIX_SIZE + headerBytes + bodyBytes
  }

  #parse(frame: Uint8Array): Frame {
    const [headerBytes] = lengths(frame)
    const bodyAt = PREFIX_SIZE + headerBytes
    try {
      const header = JSON.parse(decoder.decode(frame.subarray(PREFIX_SIZE, bodyAt))) as unknown
      return { header, body: frame.subarray(bodyAt) }
    } catch (error) {
      throw this.#fail('a header is not JSON', { cause: error })
    }
  }

  #clear(): void {
    this.#buffer = NOTHING
    this.#filled = 0
  }

  #fail(problem: string, options?: ErrorOptions): Error {
    this.#failed = this.#format.error(problem, options)
    this.#clear()
    return this.#failed
  }
}

/** The lengths of header and body, as a frame's prefix has them. */
function lengths(frame: Uint8Array): [headerBytes: number, bodyBytes: number] {
  const view = new DataView(frame.buffer, frame.byteOffset, PREFIX_SIZE)
  return [view.getUint32(0), view.getUint32(4)]
}
