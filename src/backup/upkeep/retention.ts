import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { DatabaseDroppedError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, loadHistory } from '../history/history.ts'
import type { RetentionPolicy } from '../history/levels.ts'
import { NEWEST, planRestore, without } from '../history/plan.ts'
import { agreedTime } from '../history/store-clock.ts'
import { isProven } from './proven.ts'
import { assertPromisesKept } from './retention-check.ts'
import { planRetention, type RetentionPlan } from './retention-plan.ts'

/** The most keys that DeleteObjects accepts. */
const KEYS_AT_ONCE = 1000
/** When retention looks again at a listing from which the newest state could not be restored. */
const LOOK_AGAIN_MS = 600_000

/**
 * Deletes the files that the policy no longer promises, in an order that preserves every promise wherever it stops.
 * Where a store lists upload times instead of transaction times, those are later, so more is retained. A snapshot that
 * is not proven to be whole lets nothing go, and neither does a listing from which the newest state cannot be restored.
 * With `dryRun`, deletes nothing. Throws ClockSkewError where the store's clock is not that of `machineMs`.
 */
export async function applyRetention(
  store: ObjectStore,
  database: string,
  policy: RetentionPolicy,
  machineMs: number,
  options: { readonly history?: BackupHistory; readonly dryRun?: boolean; readonly signal?: AbortSignal } = {},
): Promise<RetentionPlan> {
  const history = options.history ?? (await loadHistory(store, database, options.signal))
  const nowMs = await agreedTime(store, machineMs, options.signal)
  if (!isWhole(history)) return { files: [], markers: [], leansOn: undefined, nextMs: nowMs + LOOK_AGAIN_MS }
  const plan = await planProven(store, history, policy, nowMs, options.signal)
  if (options.dryRun === true) return plan
  const keys = [...plan.files, ...plan.markers].map(({ key }) => key)
  for (let at = 0; at < keys.length; at += KEYS_AT_ONCE) {
    options.signal?.throwIfAborted()
    const end = at + KEYS_AT_ONCE
    assertPromisesKept(history, without(history, new Set(keys.slice(0, end))), policy, nowMs)
    await store.delete(keys.slice(at, end), options.signal)
  }
  return plan
}

async function planProven(
  store: ObjectStore,
  history: BackupHistory,
  policy: RetentionPolicy,
  nowMs: number,
  signal: AbortSignal | undefined,
): Promise<RetentionPlan> {
  const doubted = new Set<BackupFile>()
  for (;;) {
    const plan = planRetention(history, policy, nowMs, doubted)
    if (plan.leansOn === undefined || (await isProven(store, plan.leansOn, signal))) return plan
    doubted.add(plan.leansOn)
  }
}

/** Whether the newest state can be restored from what was listed: otherwise objects are missing, at least in it. */
function isWhole(history: BackupHistory): boolean {
  try {
    planRestore(history, NEWEST)
    return true
  } catch (error) {
    return error instanceof DatabaseDroppedError
  }
}
