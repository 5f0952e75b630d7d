import pLimit from 'p-limit'
import { databaseNameProblem } from '../../log/database-name.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { LtxdError } from '../../util/errors.ts'
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
 * error. It is also called for a name that no database can have.
 */
export async function listBackup(
  store: ObjectStore,
  failed?: (name: string, error: unknown) => void,
): Promise<BackedUpDatabase[]> {
  const unusable = (name: string) => failed?.(name, new UnusableNameError(name, store.url))
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

class UnusableNameError extends LtxdError {
  constructor(name: string, url: string) {
    super(
      'DATABASE_NAME_INVALID',
      `${url} holds a database of a name that no database can have: ${databaseNameProblem(name) ?? ''}. ` +
        'To restore it, rename its prefix in the backup',
    )
  }
}
