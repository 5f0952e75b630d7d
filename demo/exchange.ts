import { getJson, requestJson } from './http.ts'
import type { Depth, StoredOrder } from './matching.ts'
import { type Attempt, hasReceipt } from './receipts.ts'
import { counted, spoken } from './story.ts'
import { ProofFailure } from './verdict.ts'

/** An exchange as its clients see it: over HTTP. */

export function depthAt(url: string): Promise<Depth> {
  return getJson<Depth>(`${url}/book`)
}

/** undefined: it holds no such order. */
export async function orderAt(url: string, id: string): Promise<StoredOrder | undefined> {
  const answer = await requestJson('GET', `${url}/orders/${id}`)
  if (answer.status === 200) return answer.body as StoredOrder
  if (answer.status === 404) return undefined
  throw new Error(`asked for order ${id}, the exchange answered ${answer.status}`)
}

/** The orders of these attempts that the exchange now has, requested one by one. */
export async function storedAt(url: string, attempts: readonly Attempt[]): Promise<StoredOrder[]> {
  const found: StoredOrder[] = []
  for (const { order } of attempts) {
    const stored = await orderAt(url, order.id)
    if (stored !== undefined) found.push(stored)
  }
  return found
}

/** Runs SQLite's integrity check on a new connection of the exchange. Throws ProofFailure. */
export async function requireIntegrity(url: string, whose: string): Promise<void> {
  const { integrity } = await getJson<{ integrity: string }>(`${url}/check`)
  if (integrity !== 'ok') throw new ProofFailure(`integrity_check of ${whose}: ${integrity}`)
}

export function describeDepth(depth: Depth): string {
  const price = (cents: number | undefined) => (cents === undefined ? '–' : (cents / 100).toFixed(2))
  return (
    `the book: ${counted(depth.orders, 'order')}, ${counted(depth.trades, 'trade')}, ` +
    `${price(depth.buy[0]?.price)} bid, ${price(depth.sell[0]?.price)} asked`
  )
}

/** The time that the traders waited, and the number of their failed attempts. */
export function describeOutage(attempts: readonly Attempt[], lostAtMs: number): string {
  const times = attempts.filter(hasReceipt).map((attempt) => attempt.receipt.acknowledgedAtMs)
  const last = Math.max(...times.filter((time) => time <= lostAtMs))
  const next = Math.min(...times.filter((time) => time > lostAtMs))
  const vain = attempts.filter((attempt) => !hasReceipt(attempt)).length
  return `for the traders it took ${spoken(next - last)} from the last receipt to the next, and ${counted(vain, 'failed attempt')}`
}
