/**
 * SQLite's file locks and its shared memory, for connections that live in one WebAssembly instance. Source: sqlite3.h,
 * os_unix.c.
 */

const SHARED = 1
const RESERVED = 2
const PENDING = 3
const EXCLUSIVE = 4

/** The five-state lock of one database file. Holders are any objects. */
export class FileLock {
  readonly #levels = new Map<object, number>()

  /** Returns false if another holder has a conflicting lock. */
  lock(holder: object, level: number): boolean {
    const others = Array.from(this.#levels).filter(([other]) => other !== holder)
    const highest = Math.max(0, ...others.map(([, held]) => held))
    if (level === SHARED && highest >= PENDING) return false
    if (level >= RESERVED && highest >= RESERVED) return false
    if (level === EXCLUSIVE && highest >= SHARED) {
      this.#levels.set(holder, PENDING)
      return false
    }
    this.#levels.set(holder, Math.max(level, this.#levels.get(holder) ?? 0))
    return true
  }

  unlock(holder: object, level: number): void {
    if (level === 0) this.#levels.delete(holder)
    else this.#levels.set(holder, Math.min(level, this.#levels.get(holder) ?? 0))
  }

  get reserved(): boolean {
    return Array.from(this.#levels.values()).some((level) => level >= RESERVED)
  }
}

const SHM_UNLOCK = 1
const SHM_EXCLUSIVE = 8

/** The locks on the wal-index's eight slots, and its regions in the instance's memory. */
export class SharedMemory {
  readonly regions: number[] = []
  readonly users = new Set<object>()
  readonly #slots = Array.from({ length: 8 }, () => ({
    shared: new Set<object>(),
    exclusive: undefined as object | undefined,
  }))

  lock(holder: object, offset: number, count: number, flags: number): boolean {
    const slots = this.#slots.slice(offset, offset + count)
    if ((flags & SHM_UNLOCK) !== 0) {
      for (const slot of slots) {
        slot.shared.delete(holder)
        if (slot.exclusive === holder) slot.exclusive = undefined
      }
      return true
    }
    const exclusive = (flags & SHM_EXCLUSIVE) !== 0
    const free = slots.every(({ shared, exclusive: owner }) => {
      if (owner !== undefined && owner !== holder) return false
      return !exclusive || Array.from(shared).every((other) => other === holder)
    })
    if (!free) return false
    for (const slot of slots) {
      if (exclusive) slot.exclusive = holder
      else slot.shared.add(holder)
    }
    return true
  }

  leave(holder: object): void {
    this.users.delete(holder)
    this.lock(holder, 0, this.#slots.length, SHM_UNLOCK)
  }
}
