import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { LtxdError } from '../src/util/errors.ts'
import { KEY_PREFIX } from './queues.ts'

export const BUSY = Symbol('another worker is at this database')

/** This process was away for so long that another may be at the database. */
export class LockLostError extends LtxdError {
  constructor(name: string) {
    super('JOB_LOCK_LOST', `the lock of ${name} was lost: this worker or Redis was away for longer than it lasts`)
  }
}

const RENEW = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end`
const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end`

/**
 * Runs `work` unless another worker is at the same database: BUSY. It keeps files from being made twice with different ends,
 * which would be harmless, and waste; what keeps the backup right is that puts are conditional. The signal is aborted with a
 * LockLostError once the lock cannot be held.
 */
export async function withDatabaseLock<T>(
  redis: Redis,
  name: string,
  lockMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | typeof BUSY> {
  const key = `${KEY_PREFIX}:lock:${name}`
  const token = randomUUID()
  if ((await redis.set(key, token, 'PX', lockMs, 'NX')) === null) return BUSY
  const lost = new AbortController()
  let renewedAtMs = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - renewedAtMs > lockMs) return lost.abort(new LockLostError(name))
    const startedMs = performance.now()
    redis.eval(RENEW, 1, key, token, lockMs).then(
      (held) => {
        if (held === 1) renewedAtMs = startedMs
        else lost.abort(new LockLostError(name))
      },
      // Redis fails: the next renewal decides.
      () => undefined,
    )
  }, lockMs / 3)
  try {
    return await work(lost.signal)
  } finally {
    clearInterval(timer)
    // Not waited for: while Redis is away this would hang, and the lock ends by itself.
    redis.eval(RELEASE, 1, key, token).catch(() => undefined)
  }
}
