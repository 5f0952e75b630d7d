import type { Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { linkStatus } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import { compareKeys } from '../keys.ts'
import type { ObjectInfo } from '../objectstore.ts'
import { within } from './beneath.ts'
import { SIDECAR_SUFFIX } from './sidecar.ts'

/** Files that are still being written. */
export const TEMPORARY_PREFIX = '.ltxd-tmp-'
/** The lock file in each directory that was written to. */
export const LOCK_NAME = '.ltxd-lock'

/** Names that a directory store reserves for itself. */
export function isHidden(name: string): boolean {
  return name.endsWith(SIDECAR_SUFFIX) || name.startsWith(TEMPORARY_PREFIX) || name === LOCK_NAME
}

/**
 * Objects below `root`, ascending by the bytes of the key. Visits only directories that can hold matching objects, and
 * follows no link.
 */
export function walk(root: string, prefix: string, startAfter?: string): AsyncIterable<ObjectInfo> {
  return walkFrom(prefix.slice(0, prefix.lastIndexOf('/') + 1))

  async function* walkFrom(directory: string): AsyncIterable<ObjectInfo> {
    for (const { name, info } of (await within(root, `${directory}.`, (at) => entriesOf(at, directory))) ?? []) {
      if (info !== undefined) yield { key: name, ...describe(info) }
      else yield* walkFrom(name)
    }
  }

  /** The directories and files in a directory that can matter, in order. A directory's name ends with a slash. */
  async function entriesOf(at: string, directory: string): Promise<{ name: string; info?: Stats }[]> {
    const entries = await readdir(at, { withFileTypes: true }).catch(emptyWhenMissing)
    const names = entries
      .filter((entry) => entry.isDirectory() || (entry.isFile() && !isHidden(entry.name)))
      // The slash counts in the order: "a.b" comes before "a/b".
      .map((entry) => directory + entry.name + (entry.isDirectory() ? '/' : ''))
      .filter(isWanted)
      .sort(compareKeys)
    const found: { name: string; info?: Stats }[] = []
    for (const name of names) {
      const info = name.endsWith('/') ? undefined : await linkStatus(`${at}/${name.slice(directory.length)}`)
      // A file may be deleted while the list is read.
      if (name.endsWith('/')) found.push({ name })
      else if (info?.isFile() === true) found.push({ name, info })
    }
    return found
  }

  function isWanted(name: string): boolean {
    if (!name.endsWith('/')) return name.startsWith(prefix) && (startAfter === undefined || isPast(name, startAfter))
    const past = startAfter !== undefined && !startAfter.startsWith(name) && compareKeys(name, startAfter) < 0
    return !past && (name.startsWith(prefix) || prefix.startsWith(name))
  }
}

const isPast = (key: string, other: string) => compareKeys(key, other) > 0

/** A file as an object. It got its name when its inode last changed, or before. */
export function describe({ size, mtimeMs, ctimeMs }: Stats): Omit<ObjectInfo, 'key'> {
  return { sizeBytes: size, lastModifiedMs: wholeMs(mtimeMs), storedMs: Math.floor(ctimeMs) }
}

/** The file system stores more than milliseconds. The tolerance undoes what was added on writing. */
function wholeMs(mtimeMs: number): number {
  return Math.floor(mtimeMs + 0.001)
}

function emptyWhenMissing(error: unknown): [] {
  if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
  throw error
}
