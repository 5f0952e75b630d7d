import type { Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { linkStatus } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import { compareKeys, MAX_KEY_BYTES } from '../keys.ts'
import type { ObjectInfo } from '../objectstore.ts'
import { type HeldDirectory, holdBelow, holdRoot, named } from './beneath.ts'
import { SIDECAR_SUFFIX } from './sidecar.ts'

/** Files that are still being written. */
export const TEMPORARY_PREFIX = '.ltxd-tmp-'
/** The lock file in each directory that was written to. */
export const LOCK_NAME = '.ltxd-lock'

/** The file in the store's own directory that says which backup it is (identity.ts). */
export const BACKUP_NAME = '.ltxd-backup'

/** Names that a directory store reserves for itself. */
export function isHidden(name: string): boolean {
  return (
    name.endsWith(SIDECAR_SUFFIX) || name.startsWith(TEMPORARY_PREFIX) || name === LOCK_NAME || name === BACKUP_NAME
  )
}

/**
 * Objects below `root`, ascending by the bytes of the key. Visits only directories that can hold matching objects, and
 * follows no link. Each directory is opened once, by the descriptor of the one above.
 */
export async function* walk(root: string, prefix: string, startAfter?: string): AsyncIterable<ObjectInfo> {
  const names = prefix.split('/').slice(0, -1)
  let held = await holdRoot(root)
  for (const name of names) {
    const above = held
    held = above && (await holdBelow(root, above, name).finally(() => above.close()))
  }
  if (held !== undefined) yield* walkFrom(names.map((name) => `${name}/`).join(''), held)

  /** Closes it. */
  async function* walkFrom(directory: string, held: HeldDirectory): AsyncIterable<ObjectInfo> {
    try {
      for (const key of await keysIn(directory, held)) {
        const name = key.slice(directory.length)
        if (key.endsWith('/')) {
          const below = await holdBelow(root, held, name.slice(0, -1))
          if (below !== undefined) yield* walkFrom(key, below)
        } else {
          // It may have been deleted since.
          const info = await linkStatus(`${held.at}/${name}`)
          if (info?.isFile() === true) yield { key, ...describe(info) }
        }
      }
    } catch (error) {
      throw named(error, held.at, held.path)
    } finally {
      await held.close()
    }
  }

  /** The directories and files in a directory that can matter, in order. A directory's name ends with a slash. */
  async function keysIn(directory: string, { at }: HeldDirectory): Promise<string[]> {
    const entries = await readdir(at, { withFileTypes: true }).catch(emptyWhenMissing)
    return (
      entries
        .filter((entry) => entry.isDirectory() || (entry.isFile() && !isHidden(entry.name)))
        // The slash counts in the order: "a.b" comes before "a/b".
        .map((entry) => directory + entry.name + (entry.isDirectory() ? '/' : ''))
        .filter((name) => Buffer.byteLength(name) <= MAX_KEY_BYTES && isWanted(name))
        .sort(compareKeys)
    )
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
