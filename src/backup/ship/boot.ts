import pLimit from 'p-limit'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupHistory, loadHistories } from '../history/history.ts'
import { type BackupPosition, backupPosition } from '../history/position.ts'

export interface BackedUpDatabase {
  readonly name: string
  readonly history: BackupHistory
  readonly position: BackupPosition
}

const AT_ONCE = 32

/**
 * Every database of a backup with its newest position, ascending by name. Costs one listing, and one request for the
 * newest object of each, many at once. Includes dropped databases (`position.state`), because their TXIDs continue if
 * they are created again. `failed` is called for a database whose newest object cannot be read; without it, that is an
 * error. `unusable` is called for each name that no database can have: it may hold anything.
 */
export async function listBackup(
  store: ObjectStore,
  failed?: (name: string, error: unknown) => void,
  unusable?: (name: string) => void,
): Promise<BackedUpDatabase[]> {
  const found = await pLimit(AT_ONCE).map(await loadHistories(store, unusable), async ([name, history]) => {
    try {
      return { name, history, position: await backupPosition(store, history) }
    } catch (error) {
      if (failed === undefined) throw error
      failed(name, error)
      return undefined
    }
  })
  return found.filter((database) => database !== undefined)
}
