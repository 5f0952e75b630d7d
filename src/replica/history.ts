import type { LogReader } from '../log/reader.ts'
import type { Position, TXID } from '../ltx/format/types.ts'

/**
 * At most `most` positions of a log, newest first: the newest half of them without a gap, and the others spread evenly
 * over the rest, so that the point where two histories parted is found however far back it is. `at`: the log's end.
 */
export async function historyOf(
  log: Pick<LogReader, 'first' | 'records'>,
  at: Position,
  most: number,
): Promise<Position[]> {
  const first = await log.first()
  // The log is still empty, as after a restore.
  if (first === undefined || at.txid === 0n) return at.txid === 0n ? [] : [at]
  const half = BigInt(Math.max(2, Math.floor(most / 2)))
  const older = at.txid - first + 1n - half
  const stride = older > half ? older / (half - 1n) + 1n : 1n
  const positions: Position[] = []
  for await (const { header, postApplyChecksum } of log.records(first, at.txid)) {
    const age = at.txid - header.maxTXID
    const isOldest = header.minTXID <= first
    if (age < half || age % stride === 0n || isOldest)
      positions.push({ txid: header.maxTXID, checksum: postApplyChecksum })
  }
  return positions.reverse().slice(0, most)
}

/** The newest `count` positions of a log, newest first. */
export async function newestPositions(log: LogReader, count: number): Promise<Position[]> {
  const position = log.position()
  if (position.txid === 0n) return []
  const first = await log.first()
  // The log is still empty, as after a restore.
  if (first === undefined) return [position]
  const from = position.txid - BigInt(count) > first ? ((position.txid - BigInt(count)) as TXID) : first
  const positions: Position[] = []
  for await (const { header, postApplyChecksum } of log.records(from, position.txid)) {
    positions.push({ txid: header.maxTXID, checksum: postApplyChecksum })
  }
  positions.reverse()
  return positions.length > 0 ? positions : [position]
}
