import { FUSERMOUNT } from './access.ts'
import type { MountPlace } from './mount-place.ts'
import { isRoot } from './privilege.ts'

/**
 * plain: fails if a process uses the mount. lazy: removes the mount from the tree of names at once, and ends it after
 * its last use. force: as lazy, and processes that use it get errors; only root can do that.
 */
export type UnmountKind = 'plain' | 'lazy' | 'force'

export interface UnmountCommand {
  readonly program: string
  readonly args: readonly string[]
  /** What the program has as descriptor 3. */
  readonly descriptor: number
}

/**
 * The program that unmounts what is mounted at `place`. It does not access the mounted file system. fusermount3 takes
 * only a path, and unmounts only what its user has mounted.
 */
export function unmountCommand(place: MountPlace, kind: UnmountKind): UnmountCommand {
  const descriptor = place.parent
  if (!isRoot()) {
    const args = ['-u', ...(kind === 'plain' ? [] : ['-z']), '--', place.path]
    return { program: FUSERMOUNT, args, descriptor }
  }
  const flags = { plain: [], lazy: ['-l'], force: ['-f', '-l'] }[kind]
  return { program: 'umount', args: ['-i', '-c', ...flags, place.seenThrough(3)], descriptor }
}

/** As root: unmounts the mount whose root `descriptor` is. It is in use then, by the descriptor: no plain unmount. */
export function unmountByDescriptor(descriptor: number, kind: 'lazy' | 'abort'): UnmountCommand {
  return { program: 'umount', args: ['-i', '-c', kind === 'lazy' ? '-l' : '-f', '/proc/self/fd/3'], descriptor }
}

/** For messages: the command to run when this process could not unmount. */
export function unmountAdvice(target: string): string {
  return isRoot()
    ? `run: umount -f -l '${target}'`
    : `run: ${FUSERMOUNT} -u -z '${target}', or as root: umount -f -l '${target}'`
}
