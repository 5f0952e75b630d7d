/**
 * LTX, the Lite Transaction File format, version 3: reading, writing, merging. No dependencies; runs in Node and browsers.
 */
export { pageChecksum, foldChecksum } from './checksum.ts'
export { compact, Compaction, type CompactInput, type CompactOptions, type CompactResult } from './compactor.ts'
export { Decoder } from './decoder.ts'
export { Encoder, type EncoderOptions, type EncoderResult } from './encoder.ts'
export { LTXError, type LTXErrorPlace } from './errors.ts'
export { decode, encode, frames, verify, type DecodedFile } from './file.ts'
export type { Frame } from './frame.ts'
export type { IndexSpill } from './frame-list.ts'
export {
  HEADER_SIZE,
  hasChecksums,
  isSnapshot,
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
export { mergePages, PageMerge, type MergeOptions } from './merge.ts'
export type { MergeInput } from './merge-input.ts'
export {
  INDEX_TAIL_SIZE,
  PageIndex,
  pageIndexRange,
  readFrame,
  readPageIndex,
  type IndexEntry,
  type IndexRange,
} from './page-index.ts'
export * from './types.ts'
