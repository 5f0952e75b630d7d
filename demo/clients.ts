import { setTimeout as sleep } from 'node:timers/promises'
import { requestJson } from './http.ts'
import type { Order } from './matching.ts'
import type { Ledger, Receipt } from './receipts.ts'
import type { Route } from './route.ts'

/** Traders that send one order after another to the exchange, wherever it currently runs. */

const PAUSE_MS = { thinking: 12, afterFailure: 40 }
/** Misdirected Request: that node is a replica. */
const MISDIRECTED = 421
const FAIR_PRICE = 10_000

export class Traders {
  readonly #route: () => Route
  readonly #ledger: Ledger
  readonly #stopped = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  /** Each trader has a route of its own. */
  constructor(route: () => Route, ledger: Ledger) {
    this.#route = route
    this.#ledger = ledger
  }

  /** `thinkingMs` is the average pause of a trader between two orders. */
  start(count: number, thinkingMs = PAUSE_MS.thinking): void {
    const names = Array.from({ length: count }, (_, i) => `trader-${i + 1}`)
    this.#running = Promise.all(names.map((name) => this.#trade(name, thinkingMs)))
  }

  /** Stops the traders after their current orders. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  async #trade(name: string, thinkingMs: number): Promise<void> {
    const route = this.#route()
    for (let n = 1; !this.#stopped.signal.aborted; n++) {
      const answered = await this.#send(route, randomOrder(`${name}-${n}`))
      await sleep(Math.random() * 2 * (answered ? thinkingMs : PAUSE_MS.afterFailure))
    }
  }

  /** Returns false without a receipt: the exchange is away, or that node does not accept orders. */
  async #send(route: Route, order: Order): Promise<boolean> {
    const sentAtMs = Date.now()
    const answer = await requestJson('POST', `${route.url}/orders`, order).catch(() => undefined)
    if (answer?.status !== 201) {
      this.#ledger.record({ order, sentAtMs })
      if (answer?.status === MISDIRECTED) route.redirected((answer.body as { primary?: string }).primary)
      else route.failed()
      return false
    }
    const { sequence, acknowledgedAtMs } = answer.body as Receipt
    this.#ledger.record({ order, sentAtMs, receipt: { sequence, acknowledgedAtMs } })
    return true
  }
}

/** An order near a fair price, so that about half of the orders trade and half rest in the book. */
function randomOrder(id: string): Order {
  const side = Math.random() < 0.5 ? 'buy' : 'sell'
  const away = Math.round((Math.random() - 0.3) * 60)
  return { id, side, price: FAIR_PRICE + (side === 'buy' ? -away : away), quantity: 1 + Math.floor(Math.random() * 20) }
}
