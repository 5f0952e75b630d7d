import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupHistory, loadHistory } from '../history/history.ts'
import type { RetentionPolicy } from '../history/levels.ts'
import { agreedTime } from '../history/store-clock.ts'
import { assertPromisesKept } from './retention-check.ts'
import { planRetention, type RetentionPlan } from './retention-plan.ts'

/** The most keys that DeleteObjects accepts. */
const KEYS_AT_ONCE = 1000

/**
 * Deletes the files that the policy no longer promises, in an order that preserves every promise wherever it stops.
 * Where a store lists upload times instead of transaction times, those are later, so more is retained. Throws
 * ClockSkewError where the store's clock is not that of `machineMs`.
 */
export async function applyRetention(
  store: ObjectStore,
  database: string,
  policy: RetentionPolicy,
  machineMs: number,
  options: { readonly history?: BackupHistory; readonly signal?: AbortSignal } = {},
): Promise<RetentionPlan> {
  const history = options.history ?? (await loadHistory(store, database))
  const nowMs = await agreedTime(store, machineMs)
  const plan = planRetention(history, policy, nowMs)
  const keys = [...plan.files, ...plan.markers].map(({ key }) => key)
  for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
    options.signal?.throwIfAborted()
    const end = at + KEYS_AT_ONCE
    assertPromisesKept(history, without(history, new Set(keys.slice(0, end))), policy, nowMs)
    await store.delete(keys.slice(at, end))
  }
  return plan
}

function without({ database, files, markers }: BackupHistory, keys: ReadonlySet<string>): BackupHistory {
  const isKept = ({ key }: { readonly key: string }) => !keys.has(key)
  return { database, files: files.filter(isKept), markers: markers.filter(isKept) }
}
