import { FUSERMOUNT } from './access.ts'
import { isRoot } from './privilege.ts'

/**
 * plain: fails if a process uses the mount. lazy: removes the mount from the tree of names at once, and ends it after
 * its last use. force: as lazy, and processes that use it get errors; only root can do that.
 */
export type UnmountKind = 'plain' | 'lazy' | 'force'

/** The program that unmounts `target`, a real path, and its arguments. No command accesses the mounted file system. */
export function unmountCommand(target: string, kind: UnmountKind): [program: string, args: string[]] {
  if (!isRoot()) return [FUSERMOUNT, ['-u', ...(kind === 'plain' ? [] : ['-z']), '--', target]]
  const flags = { plain: [], lazy: ['-l'], force: ['-f', '-l'] }[kind]
  return ['umount', ['-i', '-c', ...flags, target]]
}

/** For messages: the command to run when this process could not unmount. */
export function unmountAdvice(target: string): string {
  return isRoot()
    ? `run: umount -f -l '${target}'`
    : `run: ${FUSERMOUNT} -u -z '${target}', or as root: umount -f -l '${target}'`
}
