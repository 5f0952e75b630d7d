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
