/**
 * Notices that a mount has left the tree of names while its connection lives on (`umount -l`): whoever has files open goes on, and
 * everybody else finds an empty directory. The kernel tells a server nothing of that, and Node cannot wait for changes of mountinfo.
 */

import { mountAt, type MountEntry, readMounts } from './mountinfo.ts'

const INTERVAL_MS = 1_000

export class MountWatch {
  readonly #mountPoint: string
  readonly #gone: () => void
  readonly #read: () => readonly MountEntry[]
  readonly #device: string | undefined
  #timer: NodeJS.Timeout | undefined
  #missed = false

  /** `mountPoint` is a real path at which something is mounted. Calls `gone` once when that is no longer so. */
  constructor(mountPoint: string, gone: () => void, read: () => readonly MountEntry[] = readMounts) {
    this.#mountPoint = mountPoint
    this.#gone = gone
    this.#read = read
    this.#device = mountAt(mountPoint, read())?.device
  }

  start(): this {
    this.#timer = setInterval(() => this.look(), INTERVAL_MS)
    this.#timer.unref()
    return this
  }

  /** Believes what two looks have in common: older kernels may leave a line out while others mount and unmount. */
  look(): void {
    const isThere = this.#find()
    if (isThere === undefined) return
    if (!isThere && this.#missed) {
      this.stop()
      this.#gone()
    }
    this.#missed = !isThere
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Undefined: a look that fails, for want of descriptors say, has seen nothing. */
  #find(): boolean | undefined {
    try {
      return this.#read().some(({ mountPoint, device }) => mountPoint === this.#mountPoint && device === this.#device)
    } catch {
      return undefined
    }
  }
}
