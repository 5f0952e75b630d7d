import { spawnSync } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { mountAt } from '../fuse/mountinfo.ts'

const TIMEOUT_MS = 5_000

/**
 * Takes ltxd's mount at `directory` out of the tree of names at once, whoever uses it, if there is one. For leaving in a
 * hurry: waits for nobody, throws nothing.
 */
export function detachMount(directory: string): void {
  try {
    const target = join(realpathSync(dirname(directory)), basename(directory))
    if (mountAt(target)?.type !== 'fuse.ltxd') return
    spawnSync('umount', ['-i', '-c', '-l', target], { timeout: TIMEOUT_MS, stdio: 'ignore' })
  } catch {
    return
  }
}
