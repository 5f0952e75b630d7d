import type { StoredOrder } from './matching.ts'
import { type Attempt, hasReceipt, type Receipted } from './receipts.ts'

/**
 * Compares receipts with a book. Pure: attempts and stored orders in, findings out. `failures` is empty if and only if
 * the promise held.
 */

export interface SurvivalProof {
  /** The orders acknowledged before the lag of the backup: all of them must be in the book. */
  readonly promised: number
  /** The orders acknowledged within the lag, which may be lost. */
  readonly younger: number
  readonly youngerSurvived: number
  /** The age of the oldest lost order at the loss; undefined if none was lost. */
  readonly oldestLossMs: number | undefined
  readonly failures: readonly string[]
}

/** Compares the book of the new machine with the receipts of the lost one. `attempts` has only those of the latter. */
export function proveSurvival(input: {
  readonly attempts: readonly Attempt[]
  readonly stored: readonly StoredOrder[]
  readonly lostAtMs: number
  readonly lagMs: number
}): SurvivalProof {
  const { attempts, stored, lostAtMs, lagMs } = input
  const byId = new Map(stored.map((order) => [order.id, order]))
  const receipted = attempts.filter(hasReceipt)
  const isPromised = (attempt: Receipted) => attempt.receipt.acknowledgedAtMs <= lostAtMs - lagMs
  const promised = receipted.filter(isPromised)
  const younger = receipted.filter((attempt) => !isPromised(attempt))
  const lost = receipted.filter((attempt) => !byId.has(attempt.order.id))
  const oldestLost = Math.min(...lost.map((attempt) => attempt.receipt.acknowledgedAtMs))
  return {
    promised: promised.length,
    younger: younger.length,
    youngerSurvived: younger.filter((attempt) => byId.has(attempt.order.id)).length,
    oldestLossMs: lost.length === 0 ? undefined : lostAtMs - oldestLost,
    failures: [
      ...promised
        .filter((attempt) => !byId.has(attempt.order.id))
        .map(
          (attempt) =>
            `${name(attempt)}: acknowledged ${lostAtMs - attempt.receipt.acknowledgedAtMs} ms before the loss, and missing`,
        ),
      ...differences(receipted, byId),
      ...gaps(receipted, stored),
      ...unknown(attempts, stored),
    ],
  }
}

export interface MomentProof {
  /** The number of orders in the restored book. */
  readonly orders: number
  /** The orders acknowledged before the last possible boundary: all of them must be there. */
  readonly promised: number
  readonly failures: readonly string[]
}

/**
 * Checks a book restored as of `momentMs`: it has every order acknowledged `lagMs` before that, none that was sent
 * after it, and no gap.
 */
export function proveMoment(input: {
  readonly attempts: readonly Attempt[]
  readonly stored: readonly StoredOrder[]
  readonly momentMs: number
  readonly lagMs: number
}): MomentProof {
  const { attempts, stored, momentMs, lagMs } = input
  const byId = new Map(stored.map((order) => [order.id, order]))
  const receipted = attempts.filter(hasReceipt)
  const promised = receipted.filter((attempt) => attempt.receipt.acknowledgedAtMs <= momentMs - lagMs)
  return {
    orders: stored.length,
    promised: promised.length,
    failures: [
      ...promised
        .filter((attempt) => !byId.has(attempt.order.id))
        .map(
          (attempt) =>
            `${name(attempt)}: acknowledged ${momentMs - attempt.receipt.acknowledgedAtMs} ms before the moment, and missing`,
        ),
      ...attempts
        .filter((attempt) => attempt.sentAtMs > momentMs && byId.has(attempt.order.id))
        .map((attempt) => `${name(attempt)}: sent ${attempt.sentAtMs - momentMs} ms after the moment, and there`),
      ...differences(receipted, byId),
      ...gaps(receipted, stored),
      ...unknown(attempts, stored),
    ],
  }
}

/** Orders in the book that differ from their receipts. */
function differences(receipted: readonly Receipted[], byId: ReadonlyMap<string, StoredOrder>): string[] {
  return receipted.flatMap((attempt) => {
    const found = byId.get(attempt.order.id)
    if (found === undefined) return []
    const { side, price, quantity } = attempt.order
    const same =
      found.sequence === attempt.receipt.sequence &&
      found.side === side &&
      found.price === price &&
      found.quantity === quantity
    return same ? [] : [`${name(attempt)}: is in the book, but not as on its receipt`]
  })
}

/** Gaps: a state at a transaction boundary has all orders from 1 to N, and none after. */
function gaps(receipted: readonly Receipted[], stored: readonly StoredOrder[]): string[] {
  const last = Math.max(0, ...stored.map((order) => order.sequence))
  const failures =
    last === stored.length ? [] : [`the book has ${stored.length} orders, but its last is number ${last}`]
  const byId = new Set(stored.map((order) => order.id))
  return [
    ...failures,
    ...receipted
      .filter((attempt) => attempt.receipt.sequence <= last && !byId.has(attempt.order.id))
      .map((attempt) => `${name(attempt)}: missing, although the book has number ${last}`),
  ]
}

/** Orders that were never sent. */
function unknown(attempts: readonly Attempt[], stored: readonly StoredOrder[]): string[] {
  const sent = new Set(attempts.map((attempt) => attempt.order.id))
  return stored.filter((order) => !sent.has(order.id)).map((order) => `${order.id}: in the book, but nobody sent it`)
}

function name(attempt: Attempt): string {
  const number = attempt.receipt === undefined ? '' : ` (number ${attempt.receipt.sequence})`
  return `${attempt.order.id}${number}`
}
