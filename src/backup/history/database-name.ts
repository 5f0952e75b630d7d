/** Names of databases in keys: percent-encoded by segment, so that each name has one key and each key one name. */

import { databaseNameProblem, percentEncode } from '../../log/database-name.ts'
import { DatabaseNameError } from './errors.ts'

/** Throws DatabaseNameError. */
export function encodeDatabaseName(name: string): string {
  const problem = databaseNameProblem(name)
  if (problem !== undefined) throw new DatabaseNameError(name, problem)
  return percentEncode(name)
}

/** The database that `encodeDatabaseName` made this of; undefined when it made it of none. */
export function decodeDatabaseName(encoded: string): string | undefined {
  try {
    const name = encoded.split('/').map(decodeURIComponent).join('/')
    return encodeDatabaseName(name) === encoded ? name : undefined
  } catch {
    return undefined
  }
}
