import { type FileHandle, open } from 'node:fs/promises'
import { createRequire } from 'node:module'

/** The part of fs-native-extensions (which has no types) that is used here: OFD locks, see fcntl(2). */
interface NativeLocks {
  waitForLock(fd: number): Promise<void>
}

let loaded: NativeLocks | undefined

/** Loaded when it is first needed: a function that works on a bucket is bundled without it. */
function native(): NativeLocks {
  return (loaded ??= createRequire(import.meta.url)('fs-native-extensions') as NativeLocks)
}

/** Ends of the queues of this process by path, so that its own callers never hold pool threads waiting for each other. */
const queues = new Map<string, Promise<void>>()

/** Runs `critical` while no other process, and no other caller here, holds the lock file `path`, which is created. */
export async function withFileLock<T>(path: string, critical: () => Promise<T>): Promise<T> {
  const before = queues.get(path) ?? Promise.resolve()
  let leave = (): void => undefined
  const mine = new Promise<void>((resolve) => (leave = resolve))
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
    leave()
  }
}
