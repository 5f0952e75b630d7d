import { Encoder, type EncoderOptions } from '../codec/encoder.ts'
import { LTXError } from '../format/errors.ts'
import { hasChecksums, type Header, NO_CHECKSUM, type Trailer } from '../format/header.ts'
import { type MergeOptions, PageMerge } from './merge.ts'
import type { MergeInput } from './merge-input.ts'

/** A file to compact. */
export type CompactInput = MergeInput

/** What a compaction may be told. */
export interface CompactOptions extends MergeOptions, EncoderOptions {
  /** Write no database checksums, whether or not the inputs have them. Without it, all of them must. */
  readonly noChecksum?: boolean
  /** Called from time to time with the number of pages written so far. */
  readonly progress?: (pages: number) => void
  /** A chunk is valid only until the next one is asked for, which spares the memory for a copy of each. */
  readonly reuseChunks?: boolean
  /** Instead of the last input's timestamp. */
  readonly headerTimestampMs?: number
}

/** What a compaction has written. */
export interface CompactResult {
  readonly header: Header
  readonly trailer: Trailer
  /** Of the new file. */
  readonly sizeBytes: number
  readonly pageCount: number
}

/**
 * Makes one LTX file of several that lie in TXID order. The first one gives min TXID, pre-apply checksum and page size,
 * the last one max TXID, commit, timestamp and post-apply checksum; WAL fields and node id are zero. A page that survives
 * keeps its compressed bytes; it is decompressed only for the checksums.
 *
 * All inputs are open from beginning to end. Every one of them has been verified before the last chunk is out, so a file
 * that has its trailer is right. Source: superfly/ltx 0.5.3, compactor.go.
 */
export function compact(inputs: readonly CompactInput[], options: CompactOptions = {}): Compaction {
  return new Compaction(inputs, options)
}

/** Iterated once, gives the new file's bytes in chunks that stay valid (but see `reuseChunks`). Throws LTXError on inputs that are not right. */
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
      // What the encoder hands out is its buffer, which stays as it is until it is given another page.
      let borrowing = this.#options.reuseChunks === true
      encoder = new Encoder(this.#header(), (chunk) => chunks.push(borrowing ? chunk : chunk.slice()), this.#options)
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
      borrowing = false
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
    const { noChecksum, headerTimestampMs } = this.#options
    if (noChecksum !== true) {
      const without = headers.findIndex((header) => !hasChecksums(header))
      if (without >= 0) {
        const problem = 'the file has no database checksums, but the result is to have them'
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
      walOffset: 0,
      walSize: 0,
      walSalt1: 0,
      walSalt2: 0,
      nodeId: 0n,
    }
  }

  /** Where one input starts right behind another, both with checksums, one's post-apply is the other's pre-apply checksum. */
  #assertChain(): void {
    const { headers, trailers } = this.#merge
    for (let index = 1; index < headers.length; index++) {
      const before = headers[index - 1]!
      const after = headers[index]!
      if (!hasChecksums(before) || !hasChecksums(after) || after.minTXID !== before.maxTXID + 1n) continue
      const expected = trailers[index - 1]!.postApplyChecksum
      if (after.preApplyChecksum === expected) continue
      const problem = `${after.preApplyChecksum.toString(16)} is not the previous file's post-apply checksum ${expected.toString(16)}`
      throw new LTXError(problem, { field: 'pre-apply checksum', file: this.#merge.nameOf(index) })
    }
  }
}
