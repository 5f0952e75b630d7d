import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { NodeId } from '../fuse/filesystem.ts'
import { type MountedDevice, openMount } from '../fuse/host/own-mount.ts'
import { Guardian } from '../fuse/mount/guardian.ts'
import { Notifier } from '../fuse/mount/notifier.ts'
import { doorbellName, hangDoorbell, ringDoorbell } from '../fuse/protocol/doorbell.ts'
import { entryInvalidation, inodeInvalidation, zerosStored } from '../fuse/protocol/notify.ts'
import { WAL_INDEX_HEADER_SIZE } from '../sqlite/wal-index.ts'
import { LtxdError } from '../util/errors.ts'

/** How long a stop waits until those who still have files open get errors. */
const CUT_OFF_MS = 2_000

/** What the control plane has of the mount's connection to the kernel, which the data plane's thread serves. */
export class Connection {
  readonly device: MountedDevice
  /** Absent with a bridge, which can notify nobody. */
  readonly #notifier: Notifier | undefined
  #doorbell: number | undefined
  #guardian: Guardian | undefined
  #isCutOff: (() => void) | undefined

  constructor(device: MountedDevice) {
    this.device = device
    if (device.bell === undefined) this.#notifier = new Notifier(device.device)
  }

  /** The name of the file on the mount through which a process of this user reaches the serving thread. */
  get doorbellName(): string {
    return doorbellName(this.device.device)
  }

  /** Makes `ring` work. From now on the mount is busy, until `release`. `ended`: nobody serves the mount any more. */
  async hang(mountDir: string, ended: Promise<unknown>): Promise<void> {
    const { at, device } = this.device
    const root = at === undefined ? undefined : openMount(at.entry)
    if (at !== undefined && root === undefined) {
      const why = 'a directory above it was renamed, or something is mounted over it'
      throw new LtxdError('MOUNT_FAILED', `the mount is not found at ${mountDir}: ${why}`, 1)
    }
    try {
      const none = ended.then(() => undefined)
      this.#doorbell = await Promise.race([hangDoorbell(mountDir, device, root), none])
    } finally {
      if (root !== undefined) fs.closeSync(root)
    }
    if (this.#doorbell === undefined || this.#notifier === undefined || at === undefined) return
    this.#guardian ??= Guardian.start(at, this.#doorbell)
  }

  /** Wakes the serving thread. */
  ring(): void {
    ringDoorbell(this.device)
  }

  /** Resolves when this process and its helpers have no file on the mount open any more. */
  async release(): Promise<void> {
    if (this.#doorbell !== undefined) fs.closeSync(this.#doorbell)
    this.#doorbell = undefined
    await this.#guardian?.end()
    this.#guardian = undefined
  }

  /** The kernel forgets the attributes and the bytes of a file. */
  invalidateInode(node: NodeId): void {
    void this.#notifier?.notify(`inode ${node}`, inodeInvalidation(node))
  }

  /** The kernel forgets a name in a directory. */
  invalidateEntry(parent: NodeId, name: string): void {
    void this.#notifier?.notify(`entry ${parent} ${name}`, entryInvalidation(parent, name))
  }

  /**
   * Has the serving thread cut off those who have files open: it answers `cutOff`. Resolves when that is done, or after
   * a time limit. `ended`: nobody serves the mount any more.
   */
  async requestCutOff(mountDir: string, request: () => void, ended: Promise<unknown>): Promise<void> {
    if (this.#doorbell === undefined) await this.hang(mountDir, ended)
    const done = new Promise<void>((resolve) => (this.#isCutOff = resolve))
    request()
    this.ring()
    const late = new AbortController()
    await Promise.race([done, ended, delay(CUT_OFF_MS, undefined, { signal: late.signal, ref: false })])
    late.abort()
  }

  /**
   * Those who have files open read nothing more without an error: the kernel forgets `files`, and each wal-index has no
   * header, so that a connection to it reads the WAL. A wal-index itself stays, because it is mapped into programs,
   * which would be killed.
   */
  async cutOff(files: readonly NodeId[], walIndexes: readonly NodeId[]): Promise<void> {
    const notifier = this.#notifier
    if (notifier === undefined) return this.#isCutOff?.()
    const messages = [
      ...files.map((node) => [`inode ${node}`, inodeInvalidation(node)] as const),
      ...walIndexes.map((node) => [`index ${node}`, zerosStored(node, 2 * WAL_INDEX_HEADER_SIZE)] as const),
    ]
    await Promise.all(messages.map(([subject, message]) => notifier.notify(subject, message)))
    this.#isCutOff?.()
  }

  close(): void {
    this.#notifier?.close()
  }
}
