import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { statFile } from '../../util/directories.ts'
import { applyModesMeanwhile, describeChange, describeOwner } from '../../util/directory-modes.ts'
import { type Modes, modesOf, PRIVATE } from '../../util/private-files.ts'
import { isFixed } from '../../util/trusted-link.ts'
import { withRoot } from './beneath.ts'
import { SIDECAR_SUFFIX } from './sidecar.ts'
import { BACKUP_NAME, isHidden, LOCK_NAME } from './walk.ts'

export interface PrepareOptions {
  /** Default: those of the directory, if only its user and group can read it; or else only its user can. */
  readonly modes?: Modes
  /** The directory and what is in it had other modes, or it is another user's. */
  readonly changed?: (message: string) => void
}

/** Before the first write: the root, if it exists, and what is in it get their modes, which are the result. */
export async function prepare(root: string, options: PrepareOptions): Promise<Modes> {
  const existing = await withRoot(root, (at) => statFile(at))
  // The first object makes it.
  if (existing === undefined) return options.modes ?? PRIVATE
  const modes = options.modes ?? (await withRoot(root, modesLike)) ?? PRIVATE
  const foreign = describeOwner(`the backup ${root}`, existing)
  if (foreign !== undefined) options.changed?.(foreign)
  const changed = await withRoot(root, (at) =>
    // Another user can have put any directory of this user's in its place.
    applyModesMeanwhile(root, modes, `${at}/.`, { has: isOfBackup, isNarrowed: !isFixed(at) }),
  )
  if (changed !== undefined) options.changed?.(describeChange(`the backup ${root}`, changed, modes, 'backup.mode'))
  return modes
}

const OBJECT = /^(.+\/)?(ltx\/[0-9]\/[^/]+\.ltx|markers\/[^/]+\.json|diverged\/[^/]+)$/
const OF_DIRECTORY = /^(.+\/)?(ltx\/[0-9]|markers|diverged)\/[^/]+$/

/** Whether a file below the root has the name of an object of a backup, or of what the store keeps beside one. */
function isOfBackup(name: string): boolean {
  if (name === BACKUP_NAME || name === LOCK_NAME) return true
  const isBeside = isHidden(basename(name)) && !name.endsWith(SIDECAR_SUFFIX)
  const object = name.endsWith(SIDECAR_SUFFIX) ? name.slice(0, -SIDECAR_SUFFIX.length) : name
  return isBeside ? OF_DIRECTORY.test(name) : OBJECT.test(object)
}

/**
 * Without a configuration, a backup that a group can read stays so. One that everybody can read was made by 0.1, and
 * one in a directory of another user's says nothing.
 */
async function modesLike(at: string): Promise<Modes> {
  const { mode } = await stat(at)
  return (mode & 0o007) !== 0 || !isFixed(at) ? PRIVATE : modesOf(mode & 0o777)
}
