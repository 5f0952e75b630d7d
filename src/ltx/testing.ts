/** Helpers of this folder's tests. */
import fc from 'fast-check'
import { foldChecksum, pageChecksum } from './format/checksum.ts'
import { type Header, NO_CHECKSUM, UNSET_FIELDS } from './format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID } from './format/types.ts'

export const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] as const

/** A header of transaction 2, with checksums. */
export function header(fields: Partial<Header> = {}): Header {
  const txid = fields.minTXID ?? toTXID(2)
  return {
    ...UNSET_FIELDS,
    pageSize: 512,
    commit: 1,
    minTXID: txid,
    maxTXID: txid,
    timestampMs: 1_700_000_000_000,
    preApplyChecksum: EMPTY_CHECKSUM,
    ...fields,
  }
}

/** A page that compresses like a real one: some text, some noise, zeroes. The same seed makes the same page. */
export function pageOf(pageSize: number, seed: number): Uint8Array {
  const page = new Uint8Array(pageSize)
  let state = seed | 1
  const random = () => (state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
  for (let at = 0; at < pageSize * 0.75; at++) page[at] = at % 64 < 16 ? random() : 97 + (at % 16)
  return page
}

export function databaseChecksum(pages: Iterable<readonly [number, Uint8Array]>): Checksum {
  let rolling = EMPTY_CHECKSUM
  for (const [pgno, page] of pages) rolling = foldChecksum(rolling, pageChecksum(pgno, page))
  return rolling
}

/** Page data of every kind: zero, repeated, text, noise, and noise that repeats at a distance. */
export function arbitraryPage(pageSize: number): fc.Arbitrary<Uint8Array> {
  const exact = (bytes: Uint8Array) => {
    const page = new Uint8Array(pageSize)
    for (let at = 0; at < pageSize; at += Math.max(1, bytes.length)) page.set(bytes.subarray(0, pageSize - at), at)
    return page
  }
  return fc.oneof(
    fc.integer({ min: 0, max: 255 }).map((byte) => new Uint8Array(pageSize).fill(byte)),
    fc.uint8Array({ minLength: 1, maxLength: 40 }).map(exact),
    fc.uint8Array({ minLength: 100, maxLength: pageSize }).map(exact),
    fc.integer().map((seed) => pageOf(pageSize, seed)),
    fc.uint8Array({ minLength: pageSize, maxLength: pageSize }),
  )
}

export interface FileSpec {
  readonly header: Header
  readonly pages: Map<number, Uint8Array>
  readonly postApply: Checksum | 0n
}

/** Valid files of up to a dozen pages: snapshots and changes, with and without checksums. */
export function arbitraryFile(): fc.Arbitrary<FileSpec> {
  return fc
    .record({
      pageSize: fc.constantFrom(512, 512, 1024, 4096),
      commit: fc.integer({ min: 0, max: 12 }),
      snapshot: fc.boolean(),
      checksums: fc.boolean(),
      txid: fc.bigInt({ min: 2n, max: (1n << 63n) - 1n }),
      timestampMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
      nodeId: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      salt: fc.integer({ min: 0, max: 0xffffffff }),
    })
    .chain(({ pageSize, commit, snapshot, checksums, txid, timestampMs, nodeId, salt }) => {
      const pgnos = Array.from({ length: commit }, (_, index) => index + 1)
      return fc
        .tuple(
          snapshot ? fc.constant(pgnos) : fc.subarray(pgnos),
          fc.array(arbitraryPage(pageSize), { minLength: commit, maxLength: commit }),
        )
        .map(([chosen, data]): FileSpec => {
          const pages = new Map(chosen.map((pgno) => [pgno, data[pgno - 1]!]))
          const withChecksums = checksums || commit === 0
          return {
            header: header({
              flags: withChecksums ? 0 : NO_CHECKSUM,
              pageSize,
              commit,
              minTXID: toTXID(snapshot ? 1n : txid),
              maxTXID: toTXID(txid),
              timestampMs,
              preApplyChecksum: snapshot || !withChecksums ? 0n : EMPTY_CHECKSUM,
              walOffset: salt === 0 ? 0 : 32,
              walSalt1: salt,
              nodeId,
            }),
            pages,
            postApply: withChecksums ? databaseChecksum(commit === 0 ? [] : pages) : 0n,
          }
        })
    })
}
