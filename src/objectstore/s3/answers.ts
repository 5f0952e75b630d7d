/** Answers to GET: whether they are what was asked for, and their bodies. */

import type { Readable } from 'node:stream'
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import type { ByteRange } from '../objectstore.ts'

export const NOT_THE_RANGE = 'the answer is not the requested range'

export function isRange({ start, end }: ByteRange): boolean {
  return Number.isSafeInteger(start) && start >= 0 && (end === undefined || end >= start)
}

/** Whether the store sends the bytes that were asked for, or as many of them as the object has. */
export function isAnswerTo({ start, end = Infinity }: ByteRange, contentRange = '', length = 0): boolean {
  const [, first, last] = /^bytes (\d{1,15})-(\d{1,15})(?:\/|$)/.exec(contentRange) ?? []
  return Number(first) === start && Number(last) <= end && Number(last) - start + 1 === length
}

/** Ends the connection of an answer that nobody reads. */
export function discard(body: GetObjectCommandOutput['Body']): void {
  if (body !== undefined) (streamOf(body) as unknown as Readable).destroy()
}

/**
 * In Node.js the SDK's bodies are Readables. A body can fail before anyone reads it; its reader then gets the error.
 */
export function streamOf(body: GetObjectCommandOutput['Body']): AsyncIterable<Uint8Array> {
  const readable = body as unknown as NodeJS.ReadableStream & AsyncIterable<Uint8Array>
  readable.on('error', () => undefined)
  return readable
}
