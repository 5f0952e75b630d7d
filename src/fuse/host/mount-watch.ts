/**
 * Detects that a mount has left the tree of names while its connection is alive (`umount -l`): programs with open files
 * continue, but new opens reach the directory underneath. The kernel does not notify the server, and Node cannot
 * poll(2) mountinfo for changes.
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

  /** `mountPoint` is the real path of a mount. Calls `gone` once after the mount has left it. */
  constructor(mountPoint: string, gone: () => void, read: () => readonly MountEntry[] = readMounts) {
    this.#mountPoint = mountPoint
    this.#gone = gone
    this.#read = read
    this.#device = mountAt(mountPoint, read())?.device
  }

  start(): this {
    this.#timer = setInterval(() => this.check(), INTERVAL_MS)
    this.#timer.unref()
    return this
  }

  /** Needs two checks in a row: older kernels may omit a line while other file systems are mounted or unmounted. */
  check(): void {
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

  /** Returns undefined when mountinfo cannot be read, for example for lack of descriptors. */
  #find(): boolean | undefined {
    try {
      return this.#read().some(({ mountPoint, device }) => mountPoint === this.#mountPoint && device === this.#device)
    } catch {
      return undefined
    }
  }
}
