import { expect, test } from 'vitest'
import { type Checksum, toTXID } from '../../ltx/format/types.ts'
import { type DescribedFile, findBreak } from './chain.ts'

/** A file of level 0; its checksums are those of the states that a history has after its transactions. */
function described(history: string, min: number, max: number, term = 0n): DescribedFile {
  const state = (txid: number) => BigInt(txid * 100 + (txid > 3 ? history.charCodeAt(0) : 0)) as Checksum
  const key = `${history}/${min}-${max}`
  return {
    file: { level: 0, min: toTXID(min), max: toTXID(max), key, sizeBytes: 1, timestampMs: 0 },
    metadata: { preApplyChecksum: state(min - 1), postApplyChecksum: state(max), term },
  }
}

test('files of one history join, however they overlap', () => {
  const files = [described('a', 1, 3), described('a', 2, 5), described('a', 2, 6), described('a', 6, 6)]
  expect(findBreak(files)).toBeUndefined()
})

test('files of one term that overlap and record different states after a transaction do not', () => {
  const begun = [described('a', 1, 3), described('a', 4, 5)]
  expect(findBreak([...begun, described('b', 4, 5)])).toMatchObject({
    index: 2,
    problem: expect.stringMatching(
      /a\/4-5 and b\/4-5 record checksums .* after transaction 0000000000000005/,
    ) as string,
  })
  // Not with the file right before, but with an earlier one.
  expect(findBreak([...begun, described('b', 4, 7), described('b', 6, 6)])).toMatchObject({ index: 3 })
})

test('files of two terms that overlap do not', () => {
  const files = [described('a', 1, 5, 1n), described('a', 4, 7, 2n)]
  expect(findBreak(files)?.problem).toMatch(/overlap and are of terms 1 and 2/)
})
