/** Finds in the log what continues a replica's database. */

import { CorruptLogError, LogGapError } from '../../log/errors.ts'
import type { LogView } from '../../log/view.ts'
import { LTXError } from '../../ltx/format/errors.ts'
import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'
import { EMPTY_CHECKSUM, formatPosition, formatTXID, nextTXID, samePosition } from '../../ltx/format/types.ts'
import { errorCode } from '../../util/errors.ts'

export type Continuation =
  | { readonly kind: 'nothing' }
  /** The primary has no such database, or no longer has it. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'transactions' }
  | { readonly kind: 'snapshot'; readonly reason: string }
  /** The replica's position is not in the log's history. */
  | { readonly kind: 'differs'; readonly reason: string }

/** A database without pages: it was dropped, or has no transaction yet. */
export function isGone({ txid, checksum }: Position): boolean {
  return txid === 0n || checksum === EMPTY_CHECKSUM
}

/** `at`: the replica's position. `here`: the log's durable position. */
export async function continuation(log: LogView, at: Position | undefined, here: Position): Promise<Continuation> {
  if (at === undefined || at.txid === 0n) {
    if (here.txid === 0n) return { kind: 'nothing' }
    return isGone(here) ? { kind: 'gone' } : { kind: 'snapshot', reason: 'the replica has none of it' }
  }
  if (samePosition(at, here)) return { kind: 'nothing' }
  if (here.txid === 0n) return { kind: 'gone' }
  const positions = `the replica is at ${formatPosition(at)}, the primary at ${formatPosition(here)}`
  if (at.txid > here.txid) return { kind: 'differs', reason: `the replica is ahead: ${positions}` }
  if (at.txid === here.txid) return { kind: 'differs', reason: `the checksums differ: ${positions}` }
  const before = await checksumAt(log, at.txid)
  if (before === at.checksum) return { kind: 'transactions' }
  if (before === undefined) {
    return isGone(here)
      ? { kind: 'gone' }
      : { kind: 'snapshot', reason: `the log no longer holds what follows ${formatTXID(at.txid)}` }
  }
  return { kind: 'differs', reason: `the checksums at ${formatTXID(at.txid)} differ: ${positions}` }
}

/** Whether the log's history begins with what the replica has, or the replica has nothing. */
export async function isInHistory(log: LogView, at: Position | undefined): Promise<boolean> {
  if (at === undefined || at.txid === 0n) return true
  const { kind } = await continuation(log, at, log.position())
  return kind === 'nothing' || kind === 'transactions'
}

/** The checksum after a transaction before the newest; undefined when the log no longer holds it. */
async function checksumAt(log: LogView, txid: TXID): Promise<Checksum | 0n | undefined> {
  const next = nextTXID(txid)
  const first = await log.first()
  if (first === undefined || first > next) return undefined
  for await (const { header } of log.records(next, next)) return header.preApplyChecksum
  return undefined
}

/** The newest transaction that both the log and a replica's history have, with the same checksum after it. */
export async function findFork(log: LogView, here: Position, history: readonly Position[]): Promise<TXID | undefined> {
  const theirs = new Map(history.map(({ txid, checksum }) => [txid, checksum]))
  theirs.delete(0n as TXID)
  const first = await log.first()
  let fork = theirs.get(here.txid) === here.checksum ? here.txid : undefined
  if (first === undefined || theirs.size === 0 || fork !== undefined) return fork
  const known = [...theirs.keys()]
  const oldest = known.reduce((a, b) => (b < a ? b : a))
  const newest = known.reduce((a, b) => (b > a ? b : a))
  const from = oldest < first ? first : oldest
  const to = newest < here.txid ? newest : here.txid
  for await (const { header, postApplyChecksum } of log.records(from, to)) {
    const before = (header.minTXID - 1n) as TXID
    if (theirs.has(before) && theirs.get(before) === header.preApplyChecksum) fork = before
    if (theirs.get(header.maxTXID) === postApplyChecksum) fork = header.maxTXID
  }
  return fork
}

/**
 * Whether retention, or a log that replaced this one, explains the failure. The current log may then be read again.
 */
export function isLogMoved(error: unknown): boolean {
  if (error instanceof LogGapError || error instanceof CorruptLogError || error instanceof LTXError) return true
  return errorCode(error) === 'ENOENT'
}
