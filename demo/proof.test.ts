import { describe, expect, test } from 'vitest'
import type { StoredOrder } from './matching.ts'
import { proveMoment, proveSurvival } from './proof.ts'
import type { Receipted } from './receipts.ts'

/** Ten orders, one per second, each acknowledged 10 ms after it was sent. */
const attempts: readonly Receipted[] = Array.from({ length: 10 }, (_, i) => ({
  order: { id: `o${i + 1}`, side: 'buy', price: 100 + i, quantity: 5 },
  sentAtMs: (i + 1) * 1000,
  receipt: { sequence: i + 1, acknowledgedAtMs: (i + 1) * 1000 + 10 },
}))

const stored = (count: number): StoredOrder[] =>
  attempts.slice(0, count).map(({ order, receipt }) => ({ ...order, sequence: receipt.sequence, remaining: 0 }))

describe('survival of a lost machine', () => {
  const lost = { attempts, lostAtMs: 10_500, lagMs: 2_000 }

  test('orders older than the lag are promised, younger ones may be lost', () => {
    expect(proveSurvival({ ...lost, stored: stored(9) })).toEqual({
      promised: 8,
      younger: 2,
      youngerSurvived: 1,
      oldestLossMs: 490,
      failures: [],
    })
  })

  test('a promised order that is missing fails', () => {
    const { failures } = proveSurvival({ ...lost, stored: stored(7) })
    expect(failures).toEqual(['o8 (number 8): acknowledged 2490 ms before the loss, and missing'])
  })

  test('a gap fails, even among orders that may be lost', () => {
    const withHole = stored(10).filter((order) => order.id !== 'o9')
    expect(proveSurvival({ ...lost, stored: withHole }).failures).toHaveLength(2)
  })

  test('an order that differs from its receipt fails', () => {
    const altered = stored(10).map((order) => (order.id === 'o3' ? { ...order, quantity: 6 } : order))
    expect(proveSurvival({ ...lost, stored: altered }).failures).toEqual([
      'o3 (number 3): is in the book, but not as on its receipt',
    ])
  })

  test('an order without an answer may be in the book; one that was never sent may not', () => {
    const last: StoredOrder = { id: 'o11', side: 'sell', price: 1, quantity: 1, remaining: 1, sequence: 11 }
    const unanswered = { order: last, sentAtMs: 10_400 }
    expect(
      proveSurvival({ ...lost, attempts: [...attempts, unanswered], stored: [...stored(10), last] }).failures,
    ).toEqual([])
    expect(proveSurvival({ ...lost, stored: [...stored(10), last] }).failures).toEqual([
      'o11: in the book, but nobody sent it',
    ])
  })
})

describe('a restored moment', () => {
  const moment = { attempts, momentMs: 5_500, lagMs: 1_000 }

  test('has the orders acknowledged before it, up to a transaction boundary', () => {
    expect(proveMoment({ ...moment, stored: stored(5) })).toEqual({ orders: 5, promised: 4, failures: [] })
    expect(proveMoment({ ...moment, stored: stored(4) })).toEqual({ orders: 4, promised: 4, failures: [] })
  })

  test('that ends too early fails', () => {
    expect(proveMoment({ ...moment, stored: stored(3) }).failures).toEqual([
      'o4 (number 4): acknowledged 1490 ms before the moment, and missing',
    ])
  })

  test('that has later orders fails', () => {
    expect(proveMoment({ ...moment, stored: stored(6) }).failures).toEqual([
      'o6 (number 6): sent 500 ms after the moment, and there',
    ])
  })

  test('with a gap fails', () => {
    const withHole = stored(5).filter((order) => order.id !== 'o5' && order.id !== 'o2')
    expect(proveMoment({ ...moment, stored: [...withHole, ...stored(5).slice(4)] }).failures).not.toEqual([])
  })
})
