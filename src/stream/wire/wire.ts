/**
 * The frames of the stream (util/frames.ts), in both directions. Content of any length travels as one message and
 * `chunk`s after it, so that no frame blocks the others for long, and each chunk can be cancelled.
 */

import * as frames from '../../util/frames.ts'
import { StreamProtocolError } from './errors.ts'

export { type Frame, PREFIX_SIZE } from '../../util/frames.ts'

export const MAX_HEADER_BYTES = 256 * 1024
export const MAX_BODY_BYTES = 1024 * 1024

const STREAM_FRAMES: frames.FrameFormat = {
  maxHeaderBytes: MAX_HEADER_BYTES,
  maxBodyBytes: MAX_BODY_BYTES,
  error: (problem, options) => new StreamProtocolError(problem, options),
}

/** One frame as one buffer. Several bodies are joined. Throws StreamProtocolError when it is too large. */
export function encodeFrame(header: object, ...bodies: readonly Uint8Array[]): Buffer {
  return frames.encodeFrame(STREAM_FRAMES, header, ...bodies)
}

/** Cuts the chunks of a connection into frames. Throws StreamProtocolError. */
export class FrameParser extends frames.FrameParser {
  constructor() {
    super(STREAM_FRAMES)
  }
}
