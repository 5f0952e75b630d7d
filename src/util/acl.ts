/** POSIX access control lists (acl(5)). A directory with a default one hands it down to what is made in it. */

import { callsOf } from './libc.ts'

const LISTS = ['system.posix_acl_default', 'system.posix_acl_access'] as const

/** Of koffi: a call in this thread, or in another. The result of getxattr is a length, or -1. */
type Call<A extends unknown[]> = ((...args: A) => number) & {
  async(...args: [...A, (error: unknown, result: number) => void]): void
}

interface Attributes {
  readonly remove: Call<[path: string, name: string]>
  readonly get: Call<[path: string, name: string, value: null, sizeBytes: number]>
}

const attributesOf = callsOf<Attributes>((libc) => ({
  remove: libc.func('removexattr', 'int', ['str', 'str']),
  get: libc.func('getxattr', 'long', ['str', 'str', 'void *', 'size_t']),
}))

/** Removes both lists of a file or directory. False: it has one now, or may have. */
export function dropLists(path: string): boolean {
  const attributes = attributesOf()
  if (attributes === undefined) return false
  return LISTS.every((name) => attributes.remove(path, name) === 0 || attributes.get(path, name, null, 0) < 0)
}

/** The same in another thread, because a network disk may take its time. */
export async function dropListsMeanwhile(path: string): Promise<boolean> {
  const attributes = attributesOf()
  if (attributes === undefined) return false
  for (const name of LISTS) {
    const removed = await new Promise<number>((resolve) =>
      attributes.remove.async(path, name, (error, result) => resolve(error == null ? result : -1)),
    )
    if (removed === 0) continue
    const length = await new Promise<number>((resolve) =>
      // What cannot be asked may be there.
      attributes.get.async(path, name, null, 0, (error, result) => resolve(error == null ? result : 0)),
    )
    if (length >= 0) return false
  }
  return true
}
