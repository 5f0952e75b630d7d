/** The mount, the data directory and a backup directory must not contain one another. */

import { realpathSync } from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from './config.ts'
import type { KeyPath } from './errors.ts'

export interface Clash {
  readonly path: KeyPath
  readonly message: string
}

export function checkDirectories(config: Config): Clash[] {
  const data = canonical(config.data.dir)
  const mount = config.fuse.dir === undefined ? undefined : canonical(config.fuse.dir)
  const inDirectory = config.backup?.url.startsWith('file:') === true
  const backup = inDirectory ? canonical(fileURLToPath(config.backup.url)) : undefined
  const clashes: Clash[] = []
  if (mount !== undefined && (isWithin(data, mount) || isWithin(mount, data))) {
    clashes.push({
      path: ['data', 'dir'],
      message: `the data directory ${data} and the mount ${mount} overlap: choose two separate directories`,
    })
  }
  if (backup !== undefined && mount !== undefined && (isWithin(backup, mount) || isWithin(mount, backup))) {
    clashes.push({
      path: ['backup', 'url'],
      message: `the backup ${backup} and the mount ${mount} overlap: choose two separate directories`,
    })
  }
  if (backup !== undefined && (isWithin(backup, data) || isWithin(data, backup))) {
    clashes.push({
      path: ['backup', 'url'],
      message: `the backup ${backup} and the data directory ${data} overlap: choose two separate directories`,
    })
  }
  return clashes
}

/**
 * Resolves symbolic links above the directory, but not the directory itself: it may be the mount of a daemon that died,
 * on which every call fails.
 */
function canonical(path: string): string {
  const parent = dirname(path)
  if (parent === path) return path
  try {
    return join(realpathSync(parent), basename(path))
  } catch {
    return join(canonical(parent), basename(path))
  }
}

function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep)
}
