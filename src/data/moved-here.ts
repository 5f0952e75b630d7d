/**
 * A data directory below a directory of another user's, who can move any directory of root's into its place. Nothing in
 * such a one is changed that is not a data directory's, and nobody gets a right there that he has not.
 */

import fs from 'node:fs'
import { applyModes, type Changed } from '../util/directory-modes.ts'
import { LtxdError } from '../util/errors.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import type { Modes } from '../util/private-files.ts'
import { isFixed } from '../util/trusted-link.ts'
import { DIRECTORIES } from './foreign-owner.ts'
import { LOCK_NAMES } from './lock-file.ts'

const STATES = ['node', 'nodes', 'api', 'backup', 'incomplete', 'mounts', 'rename', 'withheld']
/** What ltxd makes in a data directory. */
const NAMES: ReadonlySet<string> = new Set([
  ...[...LOCK_NAMES, ...DIRECTORIES],
  ...STATES.flatMap((name) => [`${name}.json`, `${name}.json.tmp`]),
])

class MovedDirectoryError extends LtxdError {
  constructor(dir: string, name: string) {
    super(
      'DATA_MOVED',
      `${dir} has no node.json, but has ${name}, which is not ltxd's, and the user that owns a directory above can ` +
        'have moved it there: choose another directory with --data, or make an empty one',
    )
  }
}

/** Whether nobody else can have moved it there, but for its own group, which may write to the directories above. */
const isAtItsPlace = (at: string) => isFixed(at, { writers: fs.statSync(at, { bigint: true }).gid })

/** As root, throws MovedDirectoryError where another user may have put another directory in the place of this one. */
export function assertNotMoved(files: FilesBeneath, at: string): void {
  const dir = files.root
  if (process.geteuid?.() !== 0 || isAtItsPlace(at)) return
  const names = files.list(dir)
  const other = names.find((name) => !NAMES.has(name))
  if (other !== undefined && !names.includes('node.json')) throw new MovedDirectoryError(dir, other)
}

/** Gives everything but `files/` its mode: where somebody can have moved it there, ltxd's own, and a narrower one. */
export function applyDataModes(dir: string, modes: Modes, at: string): Changed | undefined {
  const has = (name: string) => NAMES.has(name.split('/')[0] ?? '')
  return applyModes(dir, modes, at, { except: 'files', ...(!isAtItsPlace(at) && { part: { has, isNarrowed: true } }) })
}
