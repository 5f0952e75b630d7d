/**
 * Resolves a path that another user wrote, as that user could: a directory that the user may not search is not looked
 * into, whatever this process may. Otherwise what this process does next would tell whether a file exists there.
 */

import fs from 'node:fs'
import { dirname, join } from 'node:path'

export interface User {
  readonly uid: number
  readonly gid: number
}

/** As the kernel's limit. */
const MAX_LINKS = 40
const SEARCH = { owner: 0o100, group: 0o010, others: 0o001 } as const

export interface SeenDirectory {
  /** Without symbolic links, as far as it exists. */
  readonly path: string
  readonly exists: boolean
}

/**
 * The directory of `path`. undefined where the user may not search it or a directory on the way. What the user may by
 * an ACL or by more than one group is not known, and does not count.
 */
export function directoryAs(user: User, path: string): SeenDirectory | undefined {
  if (!path.startsWith('/')) return undefined
  let at = '/'
  let links = 0
  for (const names = dirname(path).split('/'); names.length > 0;) {
    const name = names.shift() ?? ''
    if (name === '' || name === '.') continue
    if (!maySearch(user, at)) return undefined
    if (name === '..') {
      at = dirname(at)
      continue
    }
    const next = join(at, name)
    const found = status(next)
    if (found?.isSymbolicLink() === true) {
      const target = links++ < MAX_LINKS ? readLink(next) : undefined
      if (target === undefined) return undefined
      if (target.startsWith('/')) at = '/'
      names.unshift(...target.split('/'))
    } else if (found?.isDirectory() === true) at = next
    else return names.includes('..') ? undefined : { path: join(next, ...names), exists: false }
  }
  return maySearch(user, at) ? { path: at, exists: true } : undefined
}

function maySearch({ uid, gid }: User, directory: string): boolean {
  // The kernel knows best what this process may.
  if (uid === 0 || uid === process.geteuid?.()) return true
  const found = status(directory)
  if (found === undefined) return false
  if (found.uid === uid) return (found.mode & SEARCH.owner) !== 0
  return (found.mode & (found.gid === gid ? SEARCH.group : SEARCH.others)) !== 0
}

function status(path: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function readLink(path: string): string | undefined {
  try {
    return fs.readlinkSync(path)
  } catch {
    return undefined
  }
}
