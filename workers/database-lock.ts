import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { LtxdError } from '../src/util/errors.ts'
import { KEY_PREFIX } from './queues.ts'

export const BUSY = Symbol('another worker holds the lock of this database')

/** This process paused for longer than its lock lasts, so another worker may be working on the database. */
export class LockLostError extends LtxdError {
  constructor(name: string) {
    super(
      'JOB_LOCK_LOST',
      `the lock of ${name} expired: this worker, or Redis, was unreachable for longer than it lasts`,
    )
  }
}

const RENEW = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end`
const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end`

/**
 * Runs `work` under the database's lock, or returns BUSY if another worker holds it. The lock saves duplicate work;
 * conditional puts, not the lock, protect the backup. The signal is aborted with a LockLostError once the lock can no
 * longer be held.
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
      // Redis failed. The next renewal decides.
      () => undefined,
    )
  }, lockMs / 3)
  try {
    return await work(lost.signal)
  } finally {
    clearInterval(timer)
    // Do not wait: this would hang while Redis is unreachable, and the lock expires by itself.
    redis.eval(RELEASE, 1, key, token).catch(() => undefined)
  }
}
