/**
 * LTX, the Lite Transaction File format, version 3: reading, writing, merging. No dependencies. Runs in Node.js,
 * browsers, Bun and Deno. Classes exported as types only are created by functions of this module. See docs/ltx.md.
 */
export { Decoder } from './codec/decoder.ts'
export { Encoder, type EncoderOptions, type EncoderResult } from './codec/encoder.ts'
export type { IndexSpill } from './codec/frame-list.ts'
export {
  INDEX_TAIL_SIZE,
  type IndexEntry,
  type IndexRange,
  type PageIndex,
  pageIndexRange,
  readFrame,
  readPageIndex,
} from './codec/page-index.ts'
export { decode, type DecodedFile, encode, frames, verify } from './file.ts'
export { databaseChecksum, foldChecksum, pageChecksum } from './format/checksum.ts'
export { LTXError, type LTXErrorPlace } from './format/errors.ts'
export type { Frame } from './format/frame.ts'
export {
  hasChecksums,
  type Header,
  HEADER_SIZE,
  isSnapshot,
  makeHeader,
  marshalHeader,
  NO_CHECKSUM,
  PAGE_HEADER_SIZE,
  type Trailer,
  TRAILER_SIZE,
  unmarshalHeader,
  unmarshalTrailer,
  validateHeader,
} from './format/header.ts'
export * from './format/types.ts'
export {
  compact,
  type CompactInput,
  type Compaction,
  type CompactOptions,
  type CompactResult,
} from './merge/compactor.ts'
export { type MergeOptions, mergePages, type PageMerge } from './merge/merge.ts'
export type { MergeInput } from './merge/merge-input.ts'
export type { ByteBlob, ByteInput, ByteStream, ByteStreamReader } from './streams/byte-input.ts'
export { chunksOf } from './streams/byte-input.ts'
export { blobRanges, type ByteRanges, type FileHandleLike, fileRanges, RangeReadError } from './streams/byte-ranges.ts'
export { type DecodedStream, decodeStream } from './streams/decode-stream.ts'
export { type EncodedStream, encodeStream, type EncodeStreamOptions, type PageInput } from './streams/encode-stream.ts'
export { fetchRanges, type FetchRangesOptions, type RangeResponse } from './streams/fetch-ranges.ts'
export { PageReader } from './streams/page-reader.ts'
