import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '../util/log.ts'
import { Connections } from './connections.ts'
import { type Api, startApi } from './server.ts'

/** Every local user can connect, as often as it likes, and each connection takes a descriptor from the databases. */

const LIMIT = 8

let dataDir: string
let api: Api
let sockets: Socket[]

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'ltxd-connections-'))
  sockets = []
  const source = { status: () => ({}), unready: () => undefined }
  api = await startApi({
    ...{ http: { host: '127.0.0.1', port: 0 }, dataDir, maxConnections: LIMIT },
    source: source as unknown as Parameters<typeof startApi>[0]['source'],
    logger: createLogger({ level: 'silent', format: 'json' }),
    routes: (server) => {
      server.post('/lasting', { config: { lasting: true } }, (_, reply) => {
        reply.hijack()
        reply.raw.writeHead(200).flushHeaders()
      })
    },
  })
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await api.close()
  await rm(dataDir, { recursive: true })
})

async function open(count: number, text = ''): Promise<Socket[]> {
  const opened = Array.from({ length: count }, () => connect(Number(new URL(api.url).port), '127.0.0.1'))
  sockets.push(...opened)
  for (const socket of opened) {
    socket.on('error', () => undefined).resume()
    await new Promise((resolve) => socket.once('connect', resolve))
    if (text !== '') socket.write(text)
  }
  return opened
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); await pause(10)) {
    if (Date.now() > end) throw new Error(`not within 20 s: ${what}`)
  }
}

const HEAD = (method: string, path: string) => `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n`
const BODY = 'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{'

describe('I10: a flood of connections is limited, and others are answered meanwhile:', () => {
  test.each([
    ['that say nothing', ''],
    ['whose header never ends', `${HEAD('GET', '/health')}X-`],
    ['whose body never ends', HEAD('POST', '/promote') + BODY],
    ['that stay open after their request', `${HEAD('GET', '/health')}\r\n`],
  ])('%s', async (_, text) => {
    const opened = await open(5 * LIMIT, text)
    await until('most are closed', () => opened.filter(({ closed }) => closed).length >= 4 * LIMIT)
    for (let i = 0; i < 3; i++) expect((await fetch(`${api.url}/health`)).status).toBe(200)
  })
})

test('a connection that is meant to last is not closed for others', async () => {
  const [lasting] = await open(
    1,
    `${HEAD('POST', '/lasting')}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  )
  await until('it is answered', () => lasting!.bytesRead > 0)
  const others = await open(5 * LIMIT)
  await until('most are closed', () => others.filter(({ closed }) => closed).length >= 4 * LIMIT)
  expect(lasting!.closed).toBe(false)
})

test('the limit leaves most of what the process may open to the databases', () => {
  expect(Connections.limit('Max open files            1024                 4096                 files\n')).toBe(256)
  expect(Connections.limit('Max open files            1048576              1048576              files\n')).toBe(512)
  expect(Connections.limit('Max open files            unlimited            unlimited            files\n')).toBe(512)
  expect(Connections.limit('')).toBe(512)
})
