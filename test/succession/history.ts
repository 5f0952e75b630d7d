interface Transaction {
  readonly parent: number
  readonly database: number
  readonly depth: number
}

/** The transactions of a walk, by number; each continues another one. 0 is the empty database. */
export class History {
  readonly #transactions: Transaction[] = [{ parent: 0, database: 0, depth: 0 }]

  get last(): number {
    return this.#transactions.length - 1
  }

  add(parent: number, database: number): number {
    return this.#transactions.push({ parent, database, depth: this.depth(parent) + 1 }) - 1
  }

  databaseOf(tx: number): number {
    return this.#transactions[tx]?.database ?? 0
  }

  depth(tx: number): number {
    return this.#transactions[tx]?.depth ?? 0
  }

  parent(tx: number): number {
    return this.#transactions[tx]?.parent ?? 0
  }

  /** Whether the history that ends with `head` contains the transaction. */
  has(head: number, tx: number): boolean {
    while (this.depth(head) > this.depth(tx)) head = this.parent(head)
    return head === tx
  }

  /** The transaction after `from` on the way to `to`. */
  after(from: number, to: number): number {
    while (this.parent(to) !== from) to = this.parent(to)
    return to
  }
}
