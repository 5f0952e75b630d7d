import { type FileHandle, open } from 'node:fs/promises'
import { createRequire } from 'node:module'

/** The part of fs-native-extensions (which has no types) that ltxd uses: OFD locks, see fcntl(2). */
interface NativeLocks {
  waitForLock(fd: number): Promise<void>
}

let loaded: NativeLocks | undefined

/** Loads the package on first use: a function that works on a bucket is bundled without it. */
function native(): NativeLocks {
  return (loaded ??= createRequire(import.meta.url)('fs-native-extensions') as NativeLocks)
}

/** The ends of this process's queues by path: its own callers never hold pool threads while waiting for each other. */
const queues = new Map<string, Promise<void>>()

/** Runs `critical` while no other process, and no other caller here, holds the lock file `path`. Creates the file. */
export async function withFileLock<T>(path: string, critical: () => Promise<T>): Promise<T> {
  const before = queues.get(path) ?? Promise.resolve()
  let release = (): void => undefined
  const mine = new Promise<void>((resolve) => (release = resolve))
  queues.set(path, mine)
  await before
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'a')
    await native().waitForLock(handle.fd)
    return await critical()
  } finally {
    await handle?.close()
    if (queues.get(path) === mine) queues.delete(path)
    release()
  }
}
