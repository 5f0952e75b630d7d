import { setMaxListeners } from 'node:events'
import type { ObjectStore } from '../src/objectstore/objectstore.ts'
import { openObjectStore } from '../src/objectstore/stores/open.ts'
import { PromptStore } from '../src/objectstore/stores/prompt-store.ts'

/** Jobs name their stores. This many unused stores stay open. */
const MAX_IDLE = 16

interface Shelved {
  readonly url: string
  readonly store: ObjectStore
  users: number
}

/** The stores of one job. */
export interface Borrowed {
  /** Opens a store that answers in time or fails, and ends with the signal. Not to be closed. Throws StoreUrlError. */
  readonly open: (url: string) => ObjectStore
  readonly release: () => Promise<void>
}

/**
 * Stores that stay open from one job to the next. A client for each job would begin with new connections, and, on a
 * machine with a role, by requesting credentials.
 */
export class StoreShelf {
  readonly #shelved = new Map<string, Shelved>()
  readonly #open: (url: string) => ObjectStore

  constructor(open: (url: string) => ObjectStore = openObjectStore) {
    this.#open = open
  }

  borrow(signal: AbortSignal): Borrowed {
    setMaxListeners(0, signal)
    const used = new Set<Shelved>()
    const open = (url: string) => {
      const shelved = this.#shelved.get(url) ?? { url, store: this.#open(url), users: 0 }
      this.#shelved.set(url, shelved)
      if (!used.has(shelved)) shelved.users++
      used.add(shelved)
      return new PromptStore(shelved.store, signal)
    }
    const release = async () => {
      for (const shelved of used) {
        shelved.users--
        // The last entry is the one used last.
        this.#shelved.delete(shelved.url)
        this.#shelved.set(shelved.url, shelved)
      }
      used.clear()
      const idle = [...this.#shelved].filter(([, { users }]) => users === 0)
      for (const [url, { store }] of idle.slice(0, Math.max(0, idle.length - MAX_IDLE))) {
        this.#shelved.delete(url)
        await store.close()
      }
    }
    return { open, release }
  }

  async close(): Promise<void> {
    const all = [...this.#shelved.values()]
    this.#shelved.clear()
    await Promise.all(all.map(({ store }) => store.close()))
  }
}
