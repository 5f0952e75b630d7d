import type Database from 'better-sqlite3'

/**
 * An order book with price-time priority in SQLite: an order and all its trades are one transaction.
 */

export type Side = 'buy' | 'sell'

/** A client's order. `price` is in cents, and the client chooses `id`. */
export interface Order {
  readonly id: string
  readonly side: Side
  readonly price: number
  readonly quantity: number
}

export interface StoredOrder extends Order {
  /** The order's place in time: 1, 2, 3 … without gaps. */
  readonly sequence: number
  /** The quantity that has not been traded yet. */
  readonly remaining: number
}

export interface Level {
  readonly price: number
  readonly quantity: number
}

/** Best prices first. */
export interface Depth {
  readonly orders: number
  readonly trades: number
  readonly buy: readonly Level[]
  readonly sell: readonly Level[]
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS orders (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    price INTEGER NOT NULL CHECK (price > 0),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    remaining INTEGER NOT NULL CHECK (remaining BETWEEN 0 AND quantity)
  );
  CREATE INDEX IF NOT EXISTS resting ON orders (side, price, sequence) WHERE remaining > 0;
  CREATE TABLE IF NOT EXISTS trades (
    taker INTEGER NOT NULL REFERENCES orders,
    maker INTEGER NOT NULL REFERENCES orders,
    price INTEGER NOT NULL,
    quantity INTEGER NOT NULL
  );
`

export class OrderBook {
  readonly #db: Database.Database
  readonly #place: (order: Order) => StoredOrder
  readonly #find: Database.Statement<[string], StoredOrder>

  constructor(db: Database.Database) {
    this.#db = db
    db.exec(SCHEMA)
    this.#find = db.prepare('SELECT * FROM orders WHERE id = ?')
    this.#place = placing(db)
  }

  /**
   * Stores the order and trades it against the other side of the book. Returns the stored order after the commit.
   */
  place(order: Order): StoredOrder {
    return this.#place(order)
  }

  find(id: string): StoredOrder | undefined {
    return this.#find.get(id)
  }

  depth(levels: number): Depth {
    const side = (name: Side, direction: 'ASC' | 'DESC') =>
      this.#db
        .prepare<[Side, number], Level>(
          `SELECT price, sum(remaining) AS quantity FROM orders
           WHERE side = ? AND remaining > 0 GROUP BY price ORDER BY price ${direction} LIMIT ?`,
        )
        .all(name, levels)
    return {
      orders: this.#count('orders'),
      trades: this.#count('trades'),
      buy: side('buy', 'DESC'),
      sell: side('sell', 'ASC'),
    }
  }

  #count(table: 'orders' | 'trades'): number {
    return this.#db.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get() ?? 0
  }
}

function placing(db: Database.Database): (order: Order) => StoredOrder {
  const insert = db.prepare<[Order], { sequence: number }>(
    `INSERT INTO orders (id, side, price, quantity, remaining)
     VALUES (@id, @side, @price, @quantity, @quantity) RETURNING sequence`,
  )
  const best = {
    buy: db.prepare<[number], StoredOrder>(
      `SELECT * FROM orders WHERE side = 'sell' AND remaining > 0 AND price <= ? ORDER BY price, sequence LIMIT 1`,
    ),
    sell: db.prepare<[number], StoredOrder>(
      `SELECT * FROM orders WHERE side = 'buy' AND remaining > 0 AND price >= ? ORDER BY price DESC, sequence LIMIT 1`,
    ),
  }
  const reduce = db.prepare<[number, number]>('UPDATE orders SET remaining = remaining - ? WHERE sequence = ?')
  const trade = db.prepare<[number, number, number, number]>(
    'INSERT INTO trades (taker, maker, price, quantity) VALUES (?, ?, ?, ?)',
  )
  const place = db.transaction((order: Order): StoredOrder => {
    const sequence = insert.get(order)?.sequence as number
    let remaining = order.quantity
    while (remaining > 0) {
      const maker = best[order.side].get(order.price)
      if (maker === undefined) break
      const quantity = Math.min(remaining, maker.remaining)
      reduce.run(quantity, maker.sequence)
      reduce.run(quantity, sequence)
      trade.run(sequence, maker.sequence, maker.price, quantity)
      remaining -= quantity
    }
    return { ...order, sequence, remaining }
  })
  // Takes the write lock at once: of two transactions that read first and then write, one would fail.
  return (order) => place.immediate(order)
}
