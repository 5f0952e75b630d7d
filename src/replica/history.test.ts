import { expect, test } from 'vitest'
import type { LogRecord, LogView } from '../log/view.ts'
import { type Checksum, type Position, toTXID, type TXID } from '../ltx/format/types.ts'
import { findFork } from '../stream/primary/continuation.ts'
import { historyOf } from './history.ts'

const checksum = (txid: bigint, branch: bigint) => ((1n << 63n) | (branch << 48n) | txid) as Checksum

/** A log from transaction `first` to `last`, which is another history after `fork`. */
function logOf(first: bigint, last: bigint, fork: bigint, branch: bigint) {
  const sum = (txid: bigint) => checksum(txid, txid > fork ? branch : 0n)
  return {
    first: () => Promise.resolve(toTXID(first)),
    async *records(from: TXID, to: TXID) {
      for (let txid = from; txid <= to; txid++) {
        const header = { minTXID: txid, maxTXID: txid, preApplyChecksum: sum(txid - 1n) }
        yield { header, postApplyChecksum: sum(txid) } as unknown as LogRecord
      }
    },
    at: { txid: toTXID(last), checksum: sum(last) } satisfies Position,
  }
}

test.each([
  [43_531n, 10n],
  [43_531n, 20_000n],
  [43_531n, 43_530n],
  [4_096n, 1n],
  [4_097n, 1n],
  [3n, 1n],
])('of %i transactions, those since the fork at %i are found, but for few', async (last, fork) => {
  const [here, there] = [logOf(1n, last, fork, 1n), logOf(1n, last + 5n, fork, 2n)]
  const history = await historyOf(here, here.at, 4096)
  expect(history.length).toBeLessThanOrEqual(4096)
  expect(history[0]).toEqual(here.at)
  const found = await findFork(there as unknown as LogView, there.at, history)
  expect(found ?? 0n).toBeLessThanOrEqual(fork)
  expect(found ?? 0n).toBeGreaterThanOrEqual(fork - (last > 4_096n ? 25n : 0n))
})

test('a log that is still empty has the position at which it begins, and none if there is nothing', async () => {
  const empty = { ...logOf(1n, 1n, 1n, 1n), first: () => Promise.resolve(undefined) }
  expect(await historyOf(empty, { txid: toTXID(7), checksum: checksum(7n, 0n) }, 10)).toHaveLength(1)
  expect(await historyOf(empty, { txid: toTXID(0), checksum: checksum(0n, 0n) }, 10)).toEqual([])
})
