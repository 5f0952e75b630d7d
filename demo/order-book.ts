import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import { type Order, OrderBook } from './matching.ts'

/**
 * The demos' application: an exchange over HTTP. Its database is an ordinary path. It knows one thing of ltxd: a file
 * .primary beside the database names the node that accepts orders.
 *
 *     node --import tsx demo/order-book.ts PATH PORT
 *
 *     POST /orders      {"id", "side": "buy"|"sell", "price", "quantity"}  →  {"id", "sequence", "acknowledgedAtMs"},
 *                       on a replica 421 {"primary": NAME}
 *     GET  /orders/ID   the order, and how much of it remains
 *     GET  /book        the best prices of both sides
 *     GET  /check       SQLite's own integrity check, on a fresh connection
 */

const MAX_BODY_BYTES = 4096
const LEVELS = 5
/** Orders come one at a time, so a lock that is held for longer will not be released. */
const BUSY_TIMEOUT_MS = 250

interface Reply {
  readonly status: number
  readonly body: unknown
}

const [path, port] = process.argv.slice(2)
if (path === undefined || port === undefined) {
  console.error('usage: order-book.ts PATH PORT')
  process.exit(2)
}

const db = new Database(path, { timeout: BUSY_TIMEOUT_MS })
db.pragma('journal_mode = WAL')
const book = new OrderBook(db)

const server = createServer((request, response) => {
  answer(request, path)
    .catch((error: unknown): Reply => {
      if (error instanceof Database.SqliteError)
        return { status: 503, body: { error: `${error.code}: ${error.message}` } }
      console.error(error)
      return { status: 500, body: { error: String(error) } }
    })
    .then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    })
    .catch(console.error)
})
server.listen(Number(port), '127.0.0.1')

process.once('SIGTERM', () => {
  server.close(() => db.close())
  server.closeIdleConnections()
})

async function answer(request: IncomingMessage, databasePath: string): Promise<Reply> {
  const target = `${request.method} ${request.url}`
  if (target === 'POST /orders') return placeOrder(await readBody(request))
  if (target === 'GET /book') return { status: 200, body: book.depth(LEVELS) }
  if (target === 'GET /check') return { status: 200, body: { integrity: integrityOf(databasePath) } }
  if (target.startsWith('GET /orders/')) {
    const order = book.find(decodeURIComponent(target.slice('GET /orders/'.length)))
    return order === undefined ? { status: 404, body: { error: 'no such order' } } : { status: 200, body: order }
  }
  return { status: 404, body: { error: `nothing at ${target}` } }
}

/** The receipt is made after the commit has succeeded: from then on the exchange is responsible for the order. */
function placeOrder(body: string): Reply {
  const order = parseOrder(body)
  if (order === undefined) return { status: 400, body: { error: 'expected id, side, price and quantity' } }
  const primary = primaryElsewhere()
  if (primary !== undefined) return { status: 421, body: { error: 'not the primary', primary } }
  if (book.find(order.id) !== undefined) return { status: 409, body: { error: 'there is an order of this id' } }
  const { sequence } = book.place(order)
  return { status: 201, body: { id: order.id, sequence, acknowledgedAtMs: Date.now() } }
}

/** The name of the primary, if it is another node. */
function primaryElsewhere(): string | undefined {
  try {
    return readFileSync(join(dirname(path as string), '.primary'), 'utf8').trim()
  } catch {
    return undefined
  }
}

function parseOrder(body: string): Order | undefined {
  let value: Partial<Record<keyof Order, unknown>>
  try {
    value = JSON.parse(body) as typeof value
  } catch {
    return undefined
  }
  const { id, side, price, quantity } = value
  const valid = typeof id === 'string' && (side === 'buy' || side === 'sell') && positive(price) && positive(quantity)
  return valid ? { id, side, price, quantity } : undefined
}

function positive(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > MAX_BODY_BYTES) throw new Error(`a request longer than ${MAX_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Uses a new connection, because an open one may answer from its cache. */
function integrityOf(databasePath: string): string {
  const fresh = new Database(databasePath, { readonly: true })
  try {
    return String(fresh.pragma('integrity_check', { simple: true }))
  } finally {
    fresh.close()
  }
}
