/** Function: restores a database, as of any moment that the backup keeps, to an object. */

import { z } from 'zod'
import { openObjectStore } from '../../src/objectstore/open.ts'
import { parsePayload, PayloadError } from '../payloads.ts'
import { restore, type RestoreJobResult } from '../processors/restore.ts'
import { backupUrl, timeLimit, type LambdaContext } from './environment.ts'

/** Everything of a restore job but the backup, which is the function's own. */
const request = z.looseObject({ backup: z.undefined({ error: "is the function's own: leave it out" }).optional() })

/**
 * The event: `{ database, target?, output: { key, store? } }` as in a job of queue `restore`. Invoked again with the same
 * event, it finds its own output and says the same.
 */
export async function handler(event: unknown, context?: LambdaContext): Promise<RestoreJobResult> {
  const checked = request.safeParse(event)
  if (!checked.success) throw new PayloadError('restore', checked.error.issues.map(({ message }) => message).join('; '))
  const backup = backupUrl()
  const payload = parsePayload('restore', { ...checked.data, backup })
  const store = openObjectStore(backup)
  try {
    return await restore(payload, {
      store,
      openStore: openObjectStore,
      signal: timeLimit(context),
      progress: () => undefined,
      nowMs: Date.now,
      // A call is one attempt.
      pin: async () => undefined,
    })
  } finally {
    await store.close()
  }
}
