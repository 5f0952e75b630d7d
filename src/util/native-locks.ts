import { createRequire } from 'node:module'

/** The part of fs-native-extensions (which has no types) that ltxd uses: open file description locks, see fcntl(2). */
export interface NativeLocks {
  /** Without a range: the whole file. `shared` defaults to false. Returns false when a conflicting lock exists. */
  tryLock(fd: number, offset?: number, length?: number, options?: { readonly shared: boolean }): boolean
  unlock(fd: number, offset: number, length: number): void
  waitForLock(fd: number): Promise<void>
}

let loaded: NativeLocks | undefined

/** Loads the package on first use, because a function that only reads a bucket is bundled without it. */
export function nativeLocks(): NativeLocks {
  return (loaded ??= createRequire(import.meta.url)('fs-native-extensions') as NativeLocks)
}
