import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { OrderBook } from './matching.ts'

function book(): OrderBook {
  return new OrderBook(new Database(':memory:'))
}

test('the better price trades first, and at the same price the older order', () => {
  const exchange = book()
  exchange.place({ id: 'late-cheap', side: 'sell', price: 101, quantity: 5 })
  exchange.place({ id: 'first', side: 'sell', price: 100, quantity: 5 })
  exchange.place({ id: 'second', side: 'sell', price: 100, quantity: 5 })
  exchange.place({ id: 'taker', side: 'buy', price: 101, quantity: 12 })
  expect(['first', 'second', 'late-cheap', 'taker'].map((id) => exchange.find(id)?.remaining)).toEqual([0, 0, 3, 0])
})

test('the rest of an order stays in the book, which never crosses', () => {
  const exchange = book()
  exchange.place({ id: 's', side: 'sell', price: 105, quantity: 4 })
  expect(exchange.place({ id: 'b', side: 'buy', price: 104, quantity: 7 })).toMatchObject({ sequence: 2, remaining: 7 })
  expect(exchange.depth(5)).toEqual({
    orders: 2,
    trades: 0,
    buy: [{ price: 104, quantity: 7 }],
    sell: [{ price: 105, quantity: 4 }],
  })
})

test('an order that fails leaves no trace', () => {
  const exchange = book()
  exchange.place({ id: 'a', side: 'sell', price: 100, quantity: 1 })
  expect(() => exchange.place({ id: 'a', side: 'buy', price: 100, quantity: 1 })).toThrow(/UNIQUE/)
  expect(exchange.depth(5)).toMatchObject({ orders: 1, trades: 0 })
})
