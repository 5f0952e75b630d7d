/** A function that restores a database to an object, as of any moment that the backup retains. */

import { z } from 'zod'
import { parsePayload, PayloadError } from '../payloads.ts'
import { restore, type RestoreJobResult } from '../processors/restore.ts'
import { BACKUP_STORE } from '../store-definitions.ts'
import { configuredStores, type LambdaContext, timeLimit } from './environment.ts'

/** Everything of a restore job except the backup, which is the function's own. */
const request = z.looseObject({ backup: z.undefined({ error: "is the function's own: leave it out" }).optional() })

/**
 * The event: `{ database, target?, output: { key, store? } }`, as in a job of queue `restore`. The store is the
 * backup's, or one of LTXD_STORES. A repeated event finds its own output and returns the same result.
 */
export async function handler(event: unknown, context?: LambdaContext): Promise<RestoreJobResult> {
  const checked = request.safeParse(event)
  if (!checked.success) throw new PayloadError('restore', checked.error.issues.map(({ message }) => message).join('; '))
  const stores = configuredStores()
  const payload = parsePayload('restore', { ...checked.data, backup: BACKUP_STORE })
  const signal = timeLimit(context)
  const { open } = stores.borrow(signal)
  try {
    return await restore(payload, {
      store: open(BACKUP_STORE),
      openStore: open,
      signal,
      progress: () => undefined,
      nowMs: Date.now,
      // A call is one attempt.
      pin: async () => undefined,
    })
  } finally {
    await stores.close()
  }
}
