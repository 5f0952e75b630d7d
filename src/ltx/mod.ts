/**
 * LTX, the Lite Transaction File format, version 3: reading, writing, merging. No dependencies; runs in Node, browsers, Bun and
 * Deno. What is a type only is made by a function of this module, not by `new`. See docs/ltx.md.
 */
export type { ByteBlob, ByteInput, ByteStream, ByteStreamReader } from './streams/byte-input.ts'
export { chunksOf } from './streams/byte-input.ts'
export { blobRanges, fileRanges, RangeReadError, type ByteRanges, type FileHandleLike } from './streams/byte-ranges.ts'
export { databaseChecksum, foldChecksum, pageChecksum } from './format/checksum.ts'
export {
  compact,
  type CompactInput,
  type CompactOptions,
  type Compaction,
  type CompactResult,
} from './merge/compactor.ts'
export { decodeStream, type DecodedStream } from './streams/decode-stream.ts'
export { Decoder } from './codec/decoder.ts'
export { encodeStream, type EncodedStream, type EncodeStreamOptions, type PageInput } from './streams/encode-stream.ts'
export { Encoder, type EncoderOptions, type EncoderResult } from './codec/encoder.ts'
export { LTXError, type LTXErrorPlace } from './format/errors.ts'
export { fetchRanges, type FetchRangesOptions, type RangeResponse } from './streams/fetch-ranges.ts'
export { decode, encode, frames, verify, type DecodedFile } from './file.ts'
export type { Frame } from './format/frame.ts'
export type { IndexSpill } from './codec/frame-list.ts'
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
} from './format/header.ts'
export { mergePages, type MergeOptions, type PageMerge } from './merge/merge.ts'
export type { MergeInput } from './merge/merge-input.ts'
export {
  INDEX_TAIL_SIZE,
  pageIndexRange,
  readFrame,
  readPageIndex,
  type IndexEntry,
  type IndexRange,
  type PageIndex,
} from './codec/page-index.ts'
export { PageReader } from './streams/page-reader.ts'
export * from './format/types.ts'
