/** Where the output of a restore may lie: below the output directory, or in a store beside what is a backup's own. */

import { isAbsolute, normalize } from 'node:path'
import type { Layout } from '../src/backup/history/layout.ts'
import { decodeDatabaseName } from '../src/log/database-name.ts'
import { checkKey } from '../src/objectstore/keys.ts'
import { errorMessage, LtxdError } from '../src/util/errors.ts'

/** What SQLite would read as a part of the database beside it. */
const SIDE_FILE = /-(wal|shm|journal)$/

/** What is wrong with a path of the output directory; undefined when it names a file below it. */
export function outputPathProblem(path: string): string | undefined {
  const normalized = normalize(path)
  if (path === '' || isAbsolute(path) || /^\.\.?(\/|$)/.test(normalized)) return 'leads out of the output directory'
  if (path.includes('\0')) return 'contains a zero byte'
  if (path.endsWith('/')) return 'ends with a slash: expected the path of a file'
  return SIDE_FILE.test(path) ? 'has the name of a WAL, a wal-index or a journal' : undefined
}

/**
 * The folders and files of a backup (src/backup/history/layout.ts), as a directory has them and as a bucket has them:
 * a backup may be copied from one to the other, and a store may lie below another one.
 */
const OF_A_BACKUP = /^(ltx|000[0-9a-f]|markers|diverged|[0-9a-f]{16}-([0-9a-f]{16}\.ltx|(dropped|reset)\.json))$/i
/** ltxd's own names, and the sidecars of a backup in a directory. */
const RESERVED = /^\.ltxd|\.meta\.json$/i

/**
 * What is wrong with the key of an output; undefined when no backup has such a key, whichever databases it has or will
 * have.
 */
export function outputKeyProblem(key: string): string | undefined {
  try {
    checkKey(key)
  } catch (error) {
    return errorMessage(error)
  }
  const part = key.split('/').find((name) => OF_A_BACKUP.test(name) || RESERVED.test(name))
  if (part === undefined) return undefined
  return `has a part "${part}", as the objects of a backup have: expected a key such as restored/app.db`
}

/** An object in a directory would take the place of a database's directory. */
class OutputBlocksDatabaseError extends LtxdError {
  constructor(key: string) {
    super(
      'OUTPUT_KEY_INVALID',
      `the key ${JSON.stringify(key.slice(0, 200))} of the output could be the name of a database, whose backup needs a ` +
        'directory there. In a directory, expected a key that no database has, such as @restored/app.db',
      2,
    )
  }
}

/**
 * In a bucket, objects lie beside each other whatever their keys. In a directory, an object `orders.db` would keep the
 * databases `orders.db` and `orders.db/…` from being backed up. Throws OutputBlocksDatabaseError.
 */
export function assertBlocksNoDatabase(key: string, layout: Layout): void {
  const isOnTheWay = decodeDatabaseName(key) !== undefined || decodeDatabaseName(`${key}/x`) !== undefined
  if (layout === 'directory' && isOnTheWay) throw new OutputBlocksDatabaseError(key)
}
