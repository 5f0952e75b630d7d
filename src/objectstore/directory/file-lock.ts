import fs from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LtxdError } from '../../util/errors.ts'
import { NotRegularError } from '../../util/files-beneath.ts'
import { groupIn, letInMeanwhile } from '../../util/group.ts'
import { nativeLocks } from '../../util/native-locks.ts'
import { isOwn, isWider, PRIVATE } from '../../util/private-files.ts'

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = fs.constants

/** The ends of this process's queues by path: its own callers never hold pool threads while waiting for each other. */
const queues = new Map<string, Promise<void>>()

/** `named` is the same for all callers; the file is opened by `path`. */
export interface LockFile {
  readonly path: string
  readonly named: string
}

/** What is done under a lock takes milliseconds. */
const DEADLINE_MS = 30_000

/** Another process does not let go of the lock. */
export class LockHeldError extends LtxdError {
  constructor({ named }: LockFile) {
    super(
      'LOCK_HELD',
      `another process has held the lock ${named} for ${DEADLINE_MS / 1000} s: "lslocks" or "fuser" names it; end it`,
    )
  }
}

/**
 * Runs `critical` while no other process, and no other caller here, holds the lock file. Creates the file, with `mode`.
 * Throws LockHeldError, NotRegularError, ELOOP for a link, and the signal's reason.
 */
export async function withFileLock<T>(
  file: LockFile,
  mode: number,
  critical: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { path, named } = file
  const before = queues.get(named) ?? Promise.resolve()
  let release = (): void => undefined
  const mine = new Promise<void>((resolve) => (release = resolve))
  queues.set(named, mine)
  await before
  let handle: FileHandle | undefined
  try {
    signal?.throwIfAborted()
    handle = await openLock(path, mode)
    if (await isLocked(handle, signal)) return await critical()
    // Closed when the wait ends: its descriptor must not become another file's meanwhile.
    handle = undefined
    signal?.throwIfAborted()
    throw new LockHeldError(file)
  } finally {
    await handle?.close()
    if (queues.get(named) === mine) queues.delete(named)
    release()
  }
}

/** Others may have put something else there; and version 0.1 let everybody open it who may read. */
async function openLock(path: string, mode: number): Promise<FileHandle> {
  const handle = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, PRIVATE.file)
  try {
    const found = await handle.stat()
    if (!found.isFile()) throw new NotRegularError(path, found)
    if (!isOwn(found) || (found.mode & 0o777) === mode) return handle
    if (isWider(mode)) await letInMeanwhile(handle.fd, mode, groupIn(dirname(path)))
    else await handle.chmod(mode)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Another thread waits, because a network disk may take its time. False after the deadline, and with the signal; then
 * the file is closed when the wait ends.
 */
async function isLocked(handle: FileHandle, signal: AbortSignal | undefined): Promise<boolean> {
  const locked = nativeLocks().waitForLock(handle.fd)
  const late = new AbortController()
  const end = () => late.abort()
  if (signal?.aborted === true) end()
  signal?.addEventListener('abort', end)
  const deadline = delay(DEADLINE_MS, false, { signal: late.signal, ref: false }).catch(() => false)
  const isInTime = await Promise.race([locked.then(() => true), deadline])
  signal?.removeEventListener('abort', end)
  end()
  if (!isInTime) void locked.catch(() => undefined).then(() => handle.close())
  return isInTime
}
