/**
 * Frames, in both directions. A frame is
 *
 * | at  | size | field                                      |
 * |-----|------|--------------------------------------------|
 * | 0   | 4    | length of the header in bytes, big-endian  |
 * | 4   | 4    | length of the body in bytes, big-endian    |
 * | 8   |      | header: one message as JSON (messages.ts)  |
 * |     |      | body: bytes that belong to it              |
 *
 * Both lengths are bounded before memory is taken (I10). Content of any length goes as a message and `chunk`s after it, so
 * that one frame never keeps the others waiting for long, and each can be taken back.
 */

import { StreamProtocolError } from './errors.ts'

export const PREFIX_SIZE = 8
export const MAX_HEADER_BYTES = 256 * 1024
export const MAX_BODY_BYTES = 1024 * 1024

export interface RawFrame {
  /** What JSON.parse made of the header. */
  readonly header: unknown
  readonly body: Uint8Array
}

const NOTHING = new Uint8Array(0)

/** One frame as one buffer. Several bodies are joined. */
export function encodeFrame(header: object, ...bodies: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const bodyBytes = bodies.reduce((sum, { length }) => sum + length, 0)
  if (json.length > MAX_HEADER_BYTES || bodyBytes > MAX_BODY_BYTES) {
    throw new StreamProtocolError(`a frame of ${json.length} and ${bodyBytes} bytes is too large to send`)
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

/** Cuts chunks of any size into frames. Holds less than one frame, and never more than was received. */
export class FrameParser {
  #chunks: Uint8Array[] = []
  #length = 0
  #headerBytes: number | undefined
  #bodyBytes = 0
  #failed: StreamProtocolError | undefined

  /** Bytes of a frame that is not complete yet. */
  get pendingBytes(): number {
    return this.#length
  }

  /** The frames that `chunk` completes; their bodies may be parts of it. Throws StreamProtocolError, from then on for ever. */
  *push(chunk: Uint8Array): Generator<RawFrame, void, void> {
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

  /** Asserts that the stream did not end inside a frame. */
  end(): void {
    if (this.#length > 0 || this.#headerBytes !== undefined) throw this.#fail('it ends inside a frame')
  }

  #readPrefix(prefix: Uint8Array): void {
    const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_SIZE)
    const headerBytes = view.getUint32(0)
    const bodyBytes = view.getUint32(4)
    if (headerBytes < 2 || headerBytes > MAX_HEADER_BYTES) {
      throw this.#fail(`a header of ${headerBytes} bytes, expected 2 to ${MAX_HEADER_BYTES}`)
    }
    if (bodyBytes > MAX_BODY_BYTES) throw this.#fail(`a body of ${bodyBytes} bytes, expected up to ${MAX_BODY_BYTES}`)
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

  /** The next bytes, without a copy where they lie in one chunk. */
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

  #fail(problem: string, options?: ErrorOptions): StreamProtocolError {
    this.#failed = new StreamProtocolError(problem, options)
    this.#chunks = []
    return this.#failed
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true })
