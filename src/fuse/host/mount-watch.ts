/**
 * Detects that a mount has left the tree of names while its connection is alive (`umount -l`): programs with open files
 * continue, but new opens reach the directory underneath. The kernel does not notify the server, and Node cannot
 * poll(2) mountinfo for changes.
 */

import { type MountEntry, readMounts } from './mountinfo.ts'

const INTERVAL_MS = 1_000

export class MountWatch {
  readonly #mount: Pick<MountEntry, 'mountPoint' | 'device'>
  readonly #gone: () => void
  readonly #read: () => readonly MountEntry[]
  #timer: NodeJS.Timeout | undefined
  #missed = false

  /** Calls `gone` once after the mount has left its place. */
  constructor(
    mount: Pick<MountEntry, 'mountPoint' | 'device'>,
    gone: () => void,
    read: () => readonly MountEntry[] = readMounts,
  ) {
    this.#mount = mount
    this.#gone = gone
    this.#read = read
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
      const { mountPoint, device } = this.#mount
      return this.#read().some((mount) => mount.mountPoint === mountPoint && mount.device === device)
    } catch {
      return undefined
    }
  }
}
