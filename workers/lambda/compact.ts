/** A function that compacts every database of a backup, on a schedule. */

import { loadHistories } from '../../src/backup/history/history.ts'
import { MAX_COMPACTION_LEVEL } from '../../src/backup/history/layout.ts'
import { errorMessage } from '../../src/util/errors.ts'
import { compact, type CompactResult } from '../processors/upkeep.ts'
import { BACKUP_STORE } from '../store-definitions.ts'
import { configuredStores, EnvironmentError, type LambdaContext, numberFrom, timeLimit } from './environment.ts'

export interface CompactAllResult {
  readonly databases: Readonly<Record<string, CompactResult>>
  /** Databases that the time did not suffice for. The next call compacts them. */
  readonly postponed: readonly string[]
}

const DEFAULT_LEVEL = 3

/** A failing database does not stop the others. The call then fails, and names the databases that failed. */
export async function handler(_event: unknown, context?: LambdaContext): Promise<CompactAllResult> {
  const stores = configuredStores()
  const level = numberFrom('LTXD_LEVEL', DEFAULT_LEVEL)
  if (level < 1 || level > MAX_COMPACTION_LEVEL) {
    throw new EnvironmentError(`LTXD_LEVEL is ${level}, expected a level from 1 to ${MAX_COMPACTION_LEVEL}`)
  }
  const signal = timeLimit(context)
  try {
    const store = stores.borrow(signal).open(BACKUP_STORE)
    // Lists even when the time is up, so that postponed databases have names.
    const unhurried = stores.borrow(new AbortController().signal).open(BACKUP_STORE)
    const databases: Record<string, CompactResult> = {}
    const postponed: string[] = []
    const failures: string[] = []
    for (const database of (await loadHistories(unhurried)).keys()) {
      try {
        signal.throwIfAborted()
        const payload = { backup: BACKUP_STORE, database, level }
        databases[database] = await compact(payload, { store, signal, progress, nowMs: Date.now })
      } catch (error) {
        if (signal.aborted) postponed.push(database)
        else failures.push(`${database}: ${errorMessage(error)}`)
      }
    }
    console.log(JSON.stringify({ databases: Object.keys(databases).length, postponed: postponed.length, failures }))
    if (failures.length > 0)
      throw new Error(`compaction failed for ${failures.length} databases: ${failures.join('; ')}`)
    return { databases, postponed }
  } finally {
    await stores.close()
  }
}

function progress(): void {}
