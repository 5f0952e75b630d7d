import { createRequire } from 'node:module'

/** The part of fs-native-extensions (which has no types) that is used here: OFD locks, see fcntl(2). */
interface NativeLocks {
  tryLock(fd: number, offset: number, length: number, options: { readonly shared: boolean }): boolean
  unlock(fd: number, offset: number, length: number): void
}

const native = createRequire(import.meta.url)('fs-native-extensions') as NativeLocks

/**
 * Byte-range locks that belong to one open descriptor. They conflict with SQLite's own (POSIX) locks in other processes
 * just as those do with each other, but unlike those they do not end when this process closes some other descriptor of the
 * same file. They end with the descriptor, so with the process. Nothing here waits.
 *
 * They conflict with a SQLite connection in this very process, too: there must be none on the same file.
 */
export class RangeLocks {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Replaces a shared lock on the same range in one step. False when another holder is in the way. */
  exclusive(offset: number, length = 1): boolean {
    return native.tryLock(this.#fd, offset, length, { shared: false })
  }

  /** Replaces an exclusive lock on the same range in one step. */
  shared(offset: number, length = 1): boolean {
    return native.tryLock(this.#fd, offset, length, { shared: true })
  }

  unlock(offset: number, length = 1): void {
    native.unlock(this.#fd, offset, length)
  }

  /** Runs `work` under an exclusive lock; undefined when it is not to be had. */
  whileExclusive<T>(offset: number, length: number, work: () => T): T | undefined {
    if (!this.exclusive(offset, length)) return undefined
    try {
      return work()
    } finally {
      this.unlock(offset, length)
    }
  }
}
