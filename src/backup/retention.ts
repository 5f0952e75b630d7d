import type { ObjectStore } from '../objectstore/objectstore.ts'
import { loadHistory, withTimestamps, type BackupHistory } from './history.ts'
import type { RetentionPolicy } from './levels.ts'
import { planRetention, type RetentionPlan } from './retention-plan.ts'

/** DeleteObjects takes so many keys at once. */
const KEYS_AT_ONCE = 1000

/** Deletes what the policy no longer promises, in an order that leaves every promise kept wherever it stops. */
export async function applyRetention(
  store: ObjectStore,
  database: string,
  policy: RetentionPolicy,
  nowMs: number,
  options: { readonly history?: BackupHistory; readonly signal?: AbortSignal } = {},
): Promise<RetentionPlan> {
  const listed = options.history ?? (await loadHistory(store, database))
  const plan = planRetention(await withTimestamps(store, listed), policy, nowMs)
  const keys = [...plan.files, ...plan.markers].map(({ key }) => key)
  for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
    options.signal?.throwIfAborted()
    await store.delete(keys.slice(at, at + KEYS_AT_ONCE))
  }
  return plan
}
