import { createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { createLogger } from '../src/util/log.ts'
import { checkRedis, RedisLink, RedisRefusedError } from './redis.ts'

const info = (version: string, policy?: string, maxmemory = '0') =>
  `# Server\r\nredis_version:${version}\r\n# Memory\r\nmaxmemory:${maxmemory}\r\n` +
  (policy === undefined ? '' : `maxmemory_policy:${policy}\r\n`)

const check = (text: string) => () => checkRedis('redis://queues', text)

test('a Redis that evicts nothing is accepted', () => {
  expect(check(info('7.0.15', 'noeviction', '1000000'))()).toBeUndefined()
})

test('a Redis that would evict jobs is rejected, or causes a warning if it has no memory limit', () => {
  expect(check(info('7.0.15', 'allkeys-lru', '1000000'))).toThrow(RedisRefusedError)
  expect(check(info('7.0.15', 'volatile-ttl', '1000000'))).toThrow(/set maxmemory-policy noeviction/)
  expect(check(info('7.0.15', 'allkeys-lru'))()).toMatch(/harmless without a maxmemory/)
  expect(check(info('7.0.15'))()).toMatch(/does not report/)
})

test('a Redis that is too old is rejected', () => {
  expect(check(info('5.0.14', 'noeviction'))).toThrow(/version 5\.0\.14; expected 6\.2 or later/)
  expect(check(info('6.0.16', 'noeviction'))).toThrow(RedisRefusedError)
  expect(check(info('6.2.0', 'noeviction'))()).toBeUndefined()
})

test('a server that repeats the password in its error gets it into no log line', () => {
  const password = 'canary-of-redis-71c3'
  const lines: string[] = []
  const logger = createLogger({ level: 'info', format: 'json', write: (line) => lines.push(line) })
  const link = new RedisLink(`redis://:${password}@127.0.0.1:1`, logger)
  link.failed(new Error(`ERR unknown command 'auth', with args beginning with: '${password}'`))
  link.close()
  expect(lines.join('')).toMatch(/unknown command 'auth', with args beginning with: '\[redacted\]'/)
})

/** A server that answers each command alike, and what a link says of it. */
async function linkTo(answer: (socket: Socket) => void, use: (link: RedisLink, lines: string[]) => Promise<void>) {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      for (let left = bytes.toString().split('\n*').length; left > 0 && !socket.destroyed; left--) answer(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const lines: string[] = []
  const logger = createLogger({ level: 'info', format: 'text', write: (line) => lines.push(line) })
  const link = new RedisLink(`redis://127.0.0.1:${port}`, logger)
  try {
    await use(link, lines)
  } finally {
    link.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

const LONG = '\u001b[31mx'.repeat(500_000)
const bulk = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`

test.each([
  ['bytes of another protocol', '\0\x01\xff\r\n', /does not speak its protocol/],
  ['an impossible array', '*4294967296\r\n', /does not speak its protocol/],
  ['arrays without end', '*1\r\n'.repeat(200_000), /does not speak its protocol/],
  ['a long error', `-ERR ${LONG}\r\n`, /cannot be used: ERR /],
  ['a long version', bulk(`redis_version:${'0'.repeat(1e6)}\r\n`), /it is version 000/],
  ['a long policy', bulk(`maxmemory:1\r\nmaxmemory_policy:${LONG}\r\n`), /with maxmemory-policy/],
])('a server that answers with %s is rejected in one short line', async (_, text, reason) => {
  await linkTo(
    (socket) => socket.write(text, 'latin1'),
    async (link, lines) => {
      const error: unknown = await link.open().catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(RedisRefusedError)
      for (const line of [(error as Error).message, ...lines]) {
        expect(line.length).toBeLessThan(1000)
        // eslint-disable-next-line no-control-regex -- an escape sequence must not reach the terminal
        expect(line).not.toMatch(/\u001b/)
      }
      expect((error as Error).message).toMatch(reason)
    },
  )
})

const endless = (begin: string, more: string) => (socket: Socket) => {
  socket.write(begin)
  const chunk = more.repeat(Math.ceil(65_536 / more.length))
  const fill = () => {
    while (!socket.destroyed && socket.write(chunk));
  }
  socket.on('drain', fill)
  fill()
}

const ENDLESS: readonly (readonly [string, (socket: Socket) => void])[] = [
  ['a text of an impossible length', endless('$999999999999\r\n', 'x')],
  ['a text of a length that is none', endless('$', '1')],
  ['a line without an end', endless('+', 'x')],
  ['an error without an end', endless('-ERR ', 'x')],
  ['a number without an end', endless(':', '1')],
  ['a large number without an end', endless('(', '1')],
  ['a list of texts without an end', endless('*999999999\r\n', '$1\r\nx\r\n')],
  ['lists of texts that grow without an end', endless('*2\r\n', '*20\r\n$0\r\n\r\n')],
  ['replies to nothing', endless(bulk(info('7.2.0', 'noeviction')), '$-1\r\n')],
  ['errors about nothing', endless(bulk(info('7.2.0', 'noeviction')), '-ERR x\r\n')],
  ['pushed messages', endless('', '>1\r\n_\r\n')],
]

test.each(ENDLESS)(
  'I10: a server that answers with %s is rejected before memory is taken for it',
  async (_, answer) => {
    const sockets = new Set<Socket>()
    await linkTo(
      (socket) => {
        if (!sockets.has(socket)) answer(socket)
        sockets.add(socket)
      },
      async (link, lines) => {
        const error: unknown = await link.open().catch((thrown: unknown) => thrown)
        expect(error).toBeInstanceOf(RedisRefusedError)
        expect((error as Error).message).toMatch(/^the Redis at redis:.*does not speak its protocol \(/)
        expect(lines.join('').length).toBeLessThan(1000)
        await expect.poll(() => [...sockets].every((socket) => socket.destroyed)).toBe(true)
        const [{ bytesWritten }] = [...sockets] as [Socket]
        expect(bytesWritten).toBeLessThan(48 << 20)
      },
    )
  },
)

test('a server that closes each connection is waited for, and the log says so once', async () => {
  await linkTo(
    (socket) => socket.end(),
    async (link, lines) => {
      void link.open().catch(() => undefined)
      await expect.poll(() => lines.length, { timeout: 60_000 }).toBe(1)
      expect(lines[0]).toMatch(/Redis cannot be reached, or fails; it is retried.*the connection was closed/)
    },
  )
})
