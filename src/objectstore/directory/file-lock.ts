import type { FileHandle } from 'node:fs/promises'
import { nativeLocks } from '../../util/native-locks.ts'
import { create } from '../../util/private-files.ts'

/** The ends of this process's queues by path: its own callers never hold pool threads while waiting for each other. */
const queues = new Map<string, Promise<void>>()

/**
 * Runs `critical` while no other process, and no other caller here, holds the lock file `path`. Creates the file with
 * `mode`.
 */
export async function withFileLock<T>(path: string, mode: number, critical: () => Promise<T>): Promise<T> {
  const before = queues.get(path) ?? Promise.resolve()
  let release = (): void => undefined
  const mine = new Promise<void>((resolve) => (release = resolve))
  queues.set(path, mine)
  await before
  let handle: FileHandle | undefined
  try {
    handle = await create(path, 'a', mode)
    await nativeLocks().waitForLock(handle.fd)
    return await critical()
  } finally {
    await handle?.close()
    if (queues.get(path) === mine) queues.delete(path)
    release()
  }
}
