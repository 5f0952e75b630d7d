import { databaseNameProblem } from '../log/database-name.ts'
import { listLogs } from '../log/store.ts'
import type { Files } from '../util/files.ts'
import { listEntries } from '../util/path-bytes.ts'
import type { DatabaseFilter } from './database-filter.ts'
import { ANY_DATABASE } from './database-filter.ts'
import { classify } from './naming.ts'

/**
 * The names, sorted, of every file that may be a database and every database with a log. `root` is the backing
 * directory of `dataDir`.
 */
export function findDatabases(files: Files, dataDir: string, root: string, filter = ANY_DATABASE): string[] {
  const names = new Set(listLogs(files, dataDir))
  for (const name of filesBelow(root, '')) if (isDatabaseName(name, filter)) names.add(name)
  return Array.from(names).sort()
}

export function isDatabaseName(name: string, filter: DatabaseFilter): boolean {
  return classify(name).kind === 'database' && filter.matches(name) && databaseNameProblem(name) === undefined
}

/**
 * No database's name is longer. Folders that lie deeper hold none, and renames can make paths that are longer than the
 * kernel takes.
 */
const MAX_NAME_LENGTH = 1024

/** The regular files below `path` of the backing directory `root`, as their names on the mount. */
export function filesBelow(root: string, path: string): string[] {
  const names: string[] = []
  const folders = [path]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of listEntries(folder === '' ? root : `${root}/${folder}`)) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isFile) names.push(name)
      else if (entry.isDirectory && name.length <= MAX_NAME_LENGTH) folders.push(name)
    }
  }
  return names
}
