import { callsOf } from './libc.ts'

/** F_OFD_GETLK of fcntl(2), and the layout of struct flock on 64-bit Linux. */
const F_OFD_GETLK = 36
const F_RDLCK = 0
const F_WRLCK = 1
const F_UNLCK = 2
const FLOCK = { type: 0, start: 8, length: 16, pid: 24, SIZE: 32 } as const

type Fcntl = (fd: number, command: number, lock: Uint8Array) => number

const fcntlOf = callsOf((libc) => libc.func('fcntl', 'int', ['int', 'int', 'void *']) as Fcntl)

/**
 * Whether another holder has a lock on these bytes, without taking it for a moment. undefined where that cannot be
 * asked.
 */
export function isLocked(fd: number, offset: number, length: number): boolean | undefined {
  const lock = query(fd, offset, length)
  return lock && lock.getInt16(FLOCK.type, true) !== F_UNLCK
}

/** The same of an exclusive lock. */
export function isExclusivelyLocked(fd: number, offset: number, length: number): boolean | undefined {
  const lock = query(fd, offset, length)
  return lock && lock.getInt16(FLOCK.type, true) === F_WRLCK
}

/** The same of a shared lock. */
export function isSharedLocked(fd: number, offset: number, length: number): boolean | undefined {
  const lock = query(fd, offset, length)
  return lock && lock.getInt16(FLOCK.type, true) === F_RDLCK
}

/** The process that has a lock on these bytes; undefined where there is none, or the kernel does not tell. */
export function lockHolder(fd: number, offset: number, length: number): number | undefined {
  const lock = query(fd, offset, length)
  if (lock === undefined || lock.getInt16(FLOCK.type, true) === F_UNLCK) return undefined
  // Neither a descriptor's lock nor one of another pid namespace has a process.
  const pid = lock.getInt32(FLOCK.pid, true)
  return pid > 0 ? pid : undefined
}

function query(fd: number, offset: number, length: number): DataView | undefined {
  const fcntl = fcntlOf()
  if (fcntl === undefined) return undefined
  const lock = new Uint8Array(FLOCK.SIZE)
  const view = new DataView(lock.buffer)
  view.setInt16(FLOCK.type, F_WRLCK, true)
  view.setBigInt64(FLOCK.start, BigInt(offset), true)
  view.setBigInt64(FLOCK.length, BigInt(length), true)
  return fcntl(fd, F_OFD_GETLK, lock) === 0 ? view : undefined
}
