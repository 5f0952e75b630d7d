import type { Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { statFile } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import { compareKeys } from '../keys.ts'
import type { ObjectInfo } from '../objectstore.ts'
import { SIDECAR_SUFFIX } from './sidecar.ts'

/** Files that are still being written. */
export const TEMPORARY_PREFIX = '.ltxd-tmp-'
/** The lock file in each directory that was written to. */
export const LOCK_NAME = '.ltxd-lock'

/** Names that a directory store reserves for itself. */
export function isHidden(name: string): boolean {
  return name.endsWith(SIDECAR_SUFFIX) || name.startsWith(TEMPORARY_PREFIX) || name === LOCK_NAME
}

/** Objects below `root`, ascending by the bytes of the key. Visits only directories that can hold matching objects. */
export function walk(root: string, prefix: string, startAfter?: string): AsyncIterable<ObjectInfo> {
  return walkFrom(prefix.slice(0, prefix.lastIndexOf('/') + 1))

  async function* walkFrom(directory: string): AsyncIterable<ObjectInfo> {
    const entries = await readdir(join(root, directory), { withFileTypes: true }).catch(emptyWhenMissing)
    const names = entries
      .filter((entry) => entry.isDirectory() || (entry.isFile() && !isHidden(entry.name)))
      // The slash counts in the order: "a.b" comes before "a/b".
      .map((entry) => directory + entry.name + (entry.isDirectory() ? '/' : ''))
      .sort(compareKeys)
    for (const name of names) {
      if (name.endsWith('/')) {
        const reachable = name.startsWith(prefix) || prefix.startsWith(name)
        const past = startAfter !== undefined && !startAfter.startsWith(name) && compareKeys(name, startAfter) < 0
        if (reachable && !past) yield* walkFrom(name)
      } else if (name.startsWith(prefix) && (startAfter === undefined || compareKeys(name, startAfter) > 0)) {
        const info = await statFile(join(root, name))
        // A file may be deleted while the list is read.
        if (info !== undefined) yield { key: name, ...describe(info) }
      }
    }
  }
}

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
