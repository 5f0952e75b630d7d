import { FUSERMOUNT } from './access.ts'
import { isRoot } from './privilege.ts'

/**
 * plain: only if nobody uses it. lazy: it leaves the tree of names at once, and ends when the last user has. force: it does,
 * and whoever uses it gets errors; only root can do that.
 */
export type UnmountKind = 'plain' | 'lazy' | 'force'

/** The program that unmounts `target`, a real path, and its arguments. None of them touches what is mounted. */
export function unmountCommand(target: string, kind: UnmountKind): [program: string, args: string[]] {
  if (!isRoot()) return [FUSERMOUNT, ['-u', ...(kind === 'plain' ? [] : ['-z']), '--', target]]
  const flags = { plain: [], lazy: ['-l'], force: ['-f', '-l'] }[kind]
  return ['umount', ['-i', '-c', ...flags, target]]
}

/** For messages: what a person runs when this process could not. */
export function unmountAdvice(target: string): string {
  return isRoot()
    ? `run: umount -f -l '${target}'`
    : `run: ${FUSERMOUNT} -u -z '${target}', or as root: umount -f -l '${target}'`
}
