/**
 * LTX, the Lite Transaction File format, version 3: reading, writing, merging. No dependencies; runs in Node, browsers, Bun and
 * Deno. What is a type only is made by a function of this module, not by `new`. See docs/ltx.md.
 */
export type { ByteBlob, ByteInput, ByteStream, ByteStreamReader } from './byte-input.ts'
export { chunksOf } from './byte-input.ts'
export { blobRanges, fileRanges, RangeReadError, type ByteRanges, type FileHandleLike } from './byte-ranges.ts'
export { databaseChecksum, foldChecksum, pageChecksum } from './checksum.ts'
export { compact, type CompactInput, type CompactOptions, type Compaction, type CompactResult } from './compactor.ts'
export { decodeStream, type DecodedStream } from './decode-stream.ts'
export { Decoder } from './decoder.ts'
export { encodeStream, type EncodedStream, type EncodeStreamOptions, type PageInput } from './encode-stream.ts'
export { Encoder, type EncoderOptions, type EncoderResult } from './encoder.ts'
export { LTXError, type LTXErrorPlace } from './errors.ts'
export { fetchRanges, type FetchRangesOptions, type RangeResponse } from './fetch-ranges.ts'
export { decode, encode, frames, verify, type DecodedFile } from './file.ts'
export type { Frame } from './frame.ts'
export type { IndexSpill } from './frame-list.ts'
export {
  HEADER_SIZE,
  hasChecksums,
  isSnapshot,
  makeHeader,
  marshalHeader,
  NO_CHECKSUM,
  PAGE_HEADER_SIZE,
  TRAILER_SIZE,
  unmarshalHeader,
  unmarshalTrailer,
  validateHeader,
  type Header,
  type Trailer,
} from './header.ts'
export { mergePages, type MergeOptions, type PageMerge } from './merge.ts'
export type { MergeInput } from './merge-input.ts'
export {
  INDEX_TAIL_SIZE,
  pageIndexRange,
  readFrame,
  readPageIndex,
  type IndexEntry,
  type IndexRange,
  type PageIndex,
} from './page-index.ts'
export { PageReader } from './page-reader.ts'
export * from './types.ts'
