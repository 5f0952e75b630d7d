/** Whole files, for tools and tests. Memory grows with the file. */
import { CheckedEncoder } from './codec/checked-encoder.ts'
import { Decoder } from './codec/decoder.ts'
import type { Frame } from './format/frame.ts'
import type { Header, Trailer } from './format/header.ts'
import type { Checksum, Pgno } from './format/types.ts'
import { type ByteInput, chunksOf } from './streams/byte-input.ts'

/** A whole file in memory. */
export interface DecodedFile {
  readonly header: Header
  /** Ascending by page number. */
  readonly pages: Map<Pgno, Uint8Array>
  readonly trailer: Trailer
}

/** Decodes a file that is in memory. Throws LTXError. */
export function decode(bytes: Uint8Array): DecodedFile {
  const decoder = new Decoder()
  const pages = new Map<Pgno, Uint8Array>()
  decoder.push(bytes)
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next())
    pages.set(frame.pgno, frame.page().slice())
  const trailer = decoder.end()
  return { header: decoder.header!, pages, trailer }
}

/**
 * Encodes a file in memory. Pages are in ascending order. The checksum is that of the whole database after the
 * transaction. It is optional in files without checksums, and in snapshots, whose pages are the whole database. Throws
 * LTXError.
 */
export function encode(
  header: Header,
  pages: Iterable<readonly [Pgno, Uint8Array]>,
  postApplyChecksum?: Checksum | 0n,
): Uint8Array {
  const chunks: Uint8Array[] = []
  const encoder = new CheckedEncoder(header, (chunk) => chunks.push(chunk.slice()))
  try {
    for (const [pgno, page] of pages) encoder.writePage(pgno, page)
    const { sizeBytes } = encoder.finish(postApplyChecksum)
    return concatenate(chunks, sizeBytes)
  } finally {
    encoder.abort()
  }
}

/**
 * The frames of a stream, each valid until the next is requested. Returns header and trailer. Throws LTXError, also if
 * the stream ends early. This awaits once a page; for full speed use a Decoder.
 */
export async function* frames(input: ByteInput): AsyncGenerator<Frame, { header: Header; trailer: Trailer }, void> {
  const decoder = new Decoder()
  for await (const chunk of chunksOf(input)) {
    decoder.push(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) yield frame
  }
  const trailer = decoder.end()
  return { header: decoder.header!, trailer }
}

/** Decodes a stream to its end and discards the pages. Throws LTXError. */
export async function verify(
  input: ByteInput,
): Promise<{ header: Header; trailer: Trailer; pageCount: number; sizeBytes: number }> {
  const decoder = new Decoder()
  for await (const chunk of chunksOf(input)) {
    decoder.push(chunk)
    while (decoder.next() !== undefined);
  }
  const trailer = decoder.end()
  return { header: decoder.header!, trailer, pageCount: decoder.pageCount, sizeBytes: decoder.sizeBytes }
}

function concatenate(chunks: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const whole = new Uint8Array(sizeBytes)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
