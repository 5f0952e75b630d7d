import { Encoder, type EncoderOptions } from '../codec/encoder.ts'
import { LTXError } from '../format/errors.ts'
import { hasChecksums, type Header, NO_CHECKSUM, type Trailer } from '../format/header.ts'
import { type MergeOptions, PageMerge } from './merge.ts'
import type { MergeInput } from './merge-input.ts'

/** A file to compact. */
export type CompactInput = MergeInput

/** Options of a compaction. */
export interface CompactOptions extends MergeOptions, EncoderOptions {
  /** Write no database checksums, whether or not the inputs have them. By default all inputs must have them. */
  readonly noChecksum?: boolean
  /** Called from time to time with the number of pages written so far. */
  readonly progress?: (pages: number) => void
  /** A chunk is valid only until the next one is requested, which saves the memory for a copy of each. */
  readonly reuseChunks?: boolean
  /** The new file's timestamp. By default that of the last input. */
  readonly headerTimestampMs?: number
  /** The new file's WAL offset. By default 0: its transactions are of no WAL. */
  readonly walOffset?: number
}

/** The file that a compaction has written. */
export interface CompactResult {
  readonly header: Header
  readonly trailer: Trailer
  /** Of the new file. */
  readonly sizeBytes: number
  readonly pageCount: number
}

/**
 * Merges several LTX files in TXID order into one. Min TXID, pre-apply checksum and page size are those of the first
 * input; max TXID, commit, timestamp and post-apply checksum are those of the last one. WAL fields and node id are zero
 * unless the options say otherwise. The compressed bytes of a page are copied. A page is decompressed only for the
 * checksums.
 *
 * All inputs stay open until the end. All are verified before the last chunk is returned, so a file that has a trailer
 * is valid. Source: superfly/ltx 0.5.3, compactor.go.
 */
export function compact(inputs: readonly CompactInput[], options: CompactOptions = {}): Compaction {
  return new Compaction(inputs, options)
}

/**
 * The new file's bytes, in chunks that stay valid (but see `reuseChunks`). Can be iterated once. Throws LTXError if an
 * input is not valid.
 */
export class Compaction implements AsyncIterable<Uint8Array> {
  readonly #merge: PageMerge
  readonly #options: CompactOptions
  #result: CompactResult | undefined

  /** @internal */
  constructor(inputs: readonly CompactInput[], options: CompactOptions) {
    this.#merge = new PageMerge(inputs, { ...options, copied: true })
    this.#options = options
  }

  /** What was written. Throws before the iteration has ended. */
  get result(): CompactResult {
    if (this.#result === undefined) throw new Error('the compaction has not ended')
    return this.#result
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    const merge = this.#merge
    const chunks: Uint8Array[] = []
    let encoder: Encoder | undefined
    try {
      await merge.open()
      // The encoder's chunk is its buffer, which does not change before the next page is written.
      let reusing = this.#options.reuseChunks === true
      encoder = new Encoder(this.#header(), (chunk) => chunks.push(reusing ? chunk : chunk.slice()), this.#options)
      while (!merge.ended) {
        merge.copyPages(encoder, chunks)
        if (chunks.length > 0) {
          this.#options.progress?.(encoder.pageCount)
          yield chunks.pop()!
        } else if (!merge.ended) {
          await merge.fill()
        }
      }
      this.#assertChain()
      reusing = false
      const { pageCount, header } = encoder
      const postApplyChecksum = this.#options.noChecksum === true ? 0n : merge.trailers.at(-1)!.postApplyChecksum
      this.#result = { ...encoder.finish(postApplyChecksum), header, pageCount }
      this.#options.progress?.(pageCount)
      yield* chunks
    } finally {
      encoder?.abort()
      await merge.close()
    }
  }

  #header(): Header {
    const { first, last, headers } = this.#merge
    const { noChecksum, headerTimestampMs, walOffset = 0 } = this.#options
    if (noChecksum !== true) {
      const without = headers.findIndex((header) => !hasChecksums(header))
      if (without >= 0) {
        const problem = 'the file has no database checksums: expected them, or the option noChecksum'
        throw new LTXError(problem, { field: 'flags', file: this.#merge.nameOf(without) })
      }
    }
    return {
      flags: noChecksum === true ? NO_CHECKSUM : 0,
      pageSize: first.pageSize,
      commit: last.commit,
      minTXID: first.minTXID,
      maxTXID: last.maxTXID,
      timestampMs: headerTimestampMs ?? last.timestampMs,
      preApplyChecksum: noChecksum === true ? 0n : first.preApplyChecksum,
      walOffset,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 0n,
    }
  }

  /** Compares the post-apply checksum of each input with the pre-apply checksum of the next, where both have one. */
  #assertChain(): void {
    const { headers, trailers } = this.#merge
    for (let index = 1; index < headers.length; index++) {
      const before = headers[index - 1]!
      const after = headers[index]!
      if (!hasChecksums(before) || !hasChecksums(after) || after.minTXID !== before.maxTXID + 1n) continue
      const expected = trailers[index - 1]!.postApplyChecksum
      if (after.preApplyChecksum === expected) continue
      const [has, wanted] = [after.preApplyChecksum, expected].map((checksum) => checksum.toString(16))
      const problem = `${has} is not the previous file's post-apply checksum ${wanted}`
      throw new LTXError(problem, { field: 'pre-apply checksum', file: this.#merge.nameOf(index) })
    }
  }
}
