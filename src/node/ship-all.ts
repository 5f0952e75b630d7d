import { setTimeout as sleep } from 'node:timers/promises'
import type { BackupService } from '../backup/ship/service.ts'

/** What is to be shipped, at each attempt. */
export interface Shipped {
  /** Absent: this node ships nothing more. */
  readonly service: Pick<BackupService, 'sync'> | undefined
  readonly names: readonly string[]
}

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 1_000

/** Ships every committed transaction. Tries again until the signal ends it, and rejects at once then. */
export async function shipAll(shipped: () => Shipped, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const ended = new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason as Error)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
  ended.catch(() => undefined) // The signal may end when nobody waits for this any more.
  let failure: unknown
  try {
    for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_RETRY_MS)) {
      const { service, names } = shipped()
      if (service === undefined) return
      const all = Promise.allSettled(names.map((name) => service.sync(name, signal)))
      const failed = (await Promise.race([all, ended])).find(({ status }) => status === 'rejected')
      if (failed === undefined) return
      failure = (failed as PromiseRejectedResult).reason
      await Promise.race([sleep(pauseMs), ended])
    }
  } catch (error) {
    throw failure ?? error
  }
}
