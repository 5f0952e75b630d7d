import { isExclusivelyLocked, isLocked, lockHolder } from '../util/lock-query.ts'
import { nativeLocks } from '../util/native-locks.ts'
import { describeProcess } from '../util/process-name.ts'

/**
 * Byte-range locks that belong to one open descriptor. They conflict with the POSIX locks of SQLite in other processes
 * as those do with each other. Unlike POSIX locks, they do not end when this process closes another descriptor of the
 * same file: they end with their own descriptor, and so with the process. No method waits.
 *
 * They also conflict with a SQLite connection in this process: it must have none on the same file.
 */
export class RangeLocks {
  readonly #fd: number
  readonly #native = nativeLocks()

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Replaces a shared lock on the same range in one step. False when another holder has a conflicting lock. */
  exclusive(offset: number, length = 1): boolean {
    return this.#native.tryLock(this.#fd, offset, length, { shared: false })
  }

  /** Replaces an exclusive lock on the same range in one step. False when another holder has an exclusive lock. */
  shared(offset: number, length = 1): boolean {
    return this.#native.tryLock(this.#fd, offset, length, { shared: true })
  }

  unlock(offset: number, length = 1): void {
    this.#native.unlock(this.#fd, offset, length)
  }

  /** Whether another holder has a lock there. Where the kernel cannot be asked, it takes the lock for a moment. */
  isHeld(offset: number, length = 1): boolean {
    return isLocked(this.#fd, offset, length) ?? this.whileExclusive(offset, length, () => true) === undefined
  }

  /** Whether another holder has an exclusive lock there. False where the kernel cannot be asked. */
  isExclusivelyHeld(offset: number, length = 1): boolean {
    return isExclusivelyLocked(this.#fd, offset, length) === true
  }

  /** Who has a lock there, for a message. */
  holder(offset: number, length = 1): string {
    const pid = lockHolder(this.#fd, offset, length)
    return pid === undefined ? 'another process' : describeProcess(pid)
  }

  /** Runs `work` under an exclusive lock. Returns undefined when another holder has a conflicting lock. */
  whileExclusive<T>(offset: number, length: number, work: () => T): T | undefined {
    if (!this.exclusive(offset, length)) return undefined
    try {
      return work()
    } finally {
      this.unlock(offset, length)
    }
  }
}
