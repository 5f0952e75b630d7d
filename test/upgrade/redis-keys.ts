/** All keys of a Redis, as commands that write them: readable, and valid for any version of Redis, unlike a dump. */

import type { Redis } from 'ioredis'

export async function readKeys(redis: Redis): Promise<string[][]> {
  const commands: string[][] = []
  for (const key of (await redis.keys('*')).sort()) {
    commands.push(...(await commandsOf(redis, key)))
    const ttlMs = await redis.pttl(key)
    if (ttlMs > 0) commands.push(['PEXPIRE', key, String(ttlMs)])
  }
  return commands
}

export async function writeKeys(redis: Redis, commands: readonly string[][]): Promise<void> {
  for (const [command = '', ...args] of commands) await redis.call(command, ...args)
}

async function commandsOf(redis: Redis, key: string): Promise<string[][]> {
  const type = await redis.type(key)
  switch (type) {
    case 'string':
      return [['SET', key, (await redis.get(key)) ?? '']]
    case 'list':
      return [['RPUSH', key, ...(await redis.lrange(key, 0, -1))]]
    case 'set':
      return [['SADD', key, ...(await redis.smembers(key)).sort()]]
    case 'hash':
      return [['HSET', key, ...Object.entries(await redis.hgetall(key)).flat()]]
    case 'zset': {
      const pairs = await redis.zrange(key, '0', '-1', 'WITHSCORES')
      const swapped = pairs.flatMap((member, i) => (i % 2 === 0 ? [pairs[i + 1] ?? '', member] : []))
      return [['ZADD', key, ...swapped]]
    }
    case 'stream':
      return (await redis.xrange(key, '-', '+')).map(([id, fields]) => ['XADD', key, id, ...fields])
    default:
      throw new Error(`key ${key} is of type ${type}, which is not kept`)
  }
}
