/** A function that restores a database to an object, as of any moment that the backup retains. */

import { z } from 'zod'
import { parsePayload, PayloadError } from '../payloads.ts'
import { restore, type RestoreJobResult } from '../processors/restore.ts'
import { StoreShelf } from '../store-shelf.ts'
import { backupUrl, type LambdaContext, timeLimit } from './environment.ts'

/** Everything of a restore job except the backup, which is the function's own. */
const request = z.looseObject({ backup: z.undefined({ error: "is the function's own: leave it out" }).optional() })

/**
 * The event: `{ database, target?, output: { key, store? } }`, as in a job of queue `restore`. A repeated event finds
 * its own output and returns the same result.
 */
export async function handler(event: unknown, context?: LambdaContext): Promise<RestoreJobResult> {
  const checked = request.safeParse(event)
  if (!checked.success) throw new PayloadError('restore', checked.error.issues.map(({ message }) => message).join('; '))
  const backup = backupUrl()
  const payload = parsePayload('restore', { ...checked.data, backup })
  const signal = timeLimit(context)
  const shelf = new StoreShelf()
  const { open } = shelf.borrow(signal)
  try {
    return await restore(payload, {
      store: open(backup),
      openStore: open,
      signal,
      progress: () => undefined,
      nowMs: Date.now,
      // A call is one attempt.
      pin: async () => undefined,
    })
  } finally {
    await shelf.close()
  }
}
