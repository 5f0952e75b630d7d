import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupHistory, loadHistories } from '../history/history.ts'
import { type BackupPosition, backupPosition } from '../history/position.ts'

export interface BackedUpDatabase {
  readonly name: string
  readonly history: BackupHistory
  readonly position: BackupPosition
}

/**
 * Every database of a backup with its newest position, ascending by name. Costs one listing, and one request for the
 * newest object of each. Includes dropped databases (`position.state`), because their TXIDs continue if they are
 * created again. `failed` is called for a database whose newest object cannot be read; without it, that is an error.
 */
export async function listBackup(
  store: ObjectStore,
  failed?: (name: string, error: unknown) => void,
): Promise<BackedUpDatabase[]> {
  const found: BackedUpDatabase[] = []
  for (const [name, history] of await loadHistories(store)) {
    try {
      found.push({ name, history, position: await backupPosition(store, history) })
    } catch (error) {
      if (failed === undefined) throw error
      failed(name, error)
    }
  }
  return found
}
