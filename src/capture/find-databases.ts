import fs from 'node:fs'
import { classify } from './naming.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { listLogs } from '../log/store.ts'
import type { Files } from '../util/files.ts'

/** Every file that may be a database, and every database that has a log, sorted. `root` is the backing directory of `dataDir`. */
export function findDatabases(files: Files, dataDir: string, root: string): string[] {
  const names = new Set(listLogs(files, dataDir))
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const name = `${entry.parentPath}/${entry.name}`.slice(root.length + 1)
    if (classify(name).kind === 'database' && databaseNameProblem(name) === undefined) names.add(name)
  }
  return Array.from(names).sort()
}
