/** The verdict of ltxd's decoder on a file, and its cost. */
import { createHash } from 'node:crypto'
import { Decoder } from '../../src/ltx/codec/decoder.ts'
import { FrameBatch } from '../../src/ltx/codec/frame-batch.ts'
import { INDEX_TAIL_SIZE, pageIndexRange, readFrame, readPageIndex } from '../../src/ltx/codec/page-index.ts'
import { LTXError } from '../../src/ltx/format/errors.ts'
import type { FrameSink } from '../../src/ltx/format/frame.ts'
import { marshalHeader, TRAILER_SIZE, unmarshalHeader } from '../../src/ltx/format/header.ts'
import { FRAME_PREFIX_SIZE } from '../../src/ltx/kernels/instance.ts'
import { decompressInto } from '../../src/ltx/kernels/lz4-block.ts'
import { stagedPage } from '../../src/ltx/kernels/staging.ts'
import type { Chance } from './chance.ts'

export type Verdict =
  /** A SHA-256 of header, pages and trailer: see reference/answers.go. */
  | { readonly outcome: 'accepted'; readonly digest: Buffer }
  | { readonly outcome: 'rejected'; readonly error: LTXError }
  /** An error that is no LTXError. */
  | { readonly outcome: 'crashed'; readonly error: unknown }

/** Decodes a file that comes in these chunks. `inBatches` reads batches of frames, as a merge does. */
export function examine(chunks: Iterable<Uint8Array>, inBatches = false): Verdict {
  try {
    const hash = createHash('sha256')
    const decoder = new Decoder()
    const batch = new FrameBatch()
    const sink: FrameSink = {
      copyDigested(pgno, frame) {
        const { pageSize } = decoder.header!
        decompressInto(frame.subarray(FRAME_PREFIX_SIZE), 0, pageSize, 0)
        hash.update(be32(pgno)).update(stagedPage(pageSize))
      },
      writePage: (pgno, page) => void hash.update(be32(pgno)).update(page),
    }
    let headerSeen = false
    for (const chunk of chunks) {
      decoder.push(chunk)
      if (!headerSeen && decoder.header !== undefined) {
        hash.update(marshalHeader(decoder.header))
        headerSeen = true
      }
      while (inBatches && decoder.nextBatch(batch)) while (batch.next()) batch.copyTo(sink)
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        hash.update(be32(frame.pgno))
        hash.update(frame.page())
      }
    }
    const { postApplyChecksum, fileChecksum } = decoder.end()
    const trailer = Buffer.alloc(16)
    trailer.writeBigUInt64BE(postApplyChecksum)
    trailer.writeBigUInt64BE(fileChecksum, 8)
    return { outcome: 'accepted', digest: hash.update(trailer).digest() }
  } catch (error) {
    return error instanceof LTXError ? { outcome: 'rejected', error } : { outcome: 'crashed', error }
  }
}

/**
 * Reads every page of the index by random access. A file that a decoder rejects may be readable this way, which does
 * not verify the file checksum.
 */
export function examineByIndex(file: Uint8Array): Verdict {
  try {
    const header = unmarshalHeader(file)
    const range = pageIndexRange(file.subarray(-INDEX_TAIL_SIZE), file.length)
    const hash = createHash('sha256').update(marshalHeader(header))
    for (const entry of readPageIndex(file.subarray(range.start, range.end), header, range)) {
      const { pgno, offset, sizeBytes } = entry
      hash.update(be32(pgno))
      hash.update(readFrame(file.subarray(offset, offset + sizeBytes), entry, header.pageSize))
    }
    return { outcome: 'accepted', digest: hash.update(file.subarray(-TRAILER_SIZE)).digest() }
  } catch (error) {
    return error instanceof LTXError ? { outcome: 'rejected', error } : { outcome: 'crashed', error }
  }
}

/** The file as one chunk, in chunks of random sizes, or, if it is short, byte by byte. */
export function* chunked(chance: Chance, file: Uint8Array): Generator<Uint8Array> {
  const most = chance.pick([
    file.length,
    file.length,
    file.length,
    1000,
    file.length < 800 && chance.oneIn(4) ? 1 : 300,
  ])
  for (let at = 0; at < file.length;) {
    const size = chance.integer(1, Math.max(1, most === file.length ? 2 * most : most))
    yield file.subarray(at, at + size)
    at += size
  }
}

/**
 * The bound on all memory that a decoder allocates for any file, in bytes: a page, and a buffer for a frame that
 * crosses chunks, which doubles as it grows. At any time the decoder holds less.
 */
export function memoryBound(pageSize: number): number {
  return 10 * pageSize + 8192
}

/** The size of all typed arrays that were made while `work` ran, in bytes. */
export function allocatedBy<T>(work: () => T): { result: T; bytes: number } {
  let bytes = 0
  const Original = globalThis.Uint8Array
  globalThis.Uint8Array = new Proxy(Original, {
    construct(target, args: [unknown, ...unknown[]], self) {
      if (typeof args[0] === 'number') bytes += args[0]
      return Reflect.construct(target, args, self) as Uint8Array
    },
  })
  try {
    return { result: work(), bytes }
  } finally {
    globalThis.Uint8Array = Original
  }
}

function be32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}
