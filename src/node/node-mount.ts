import type { FuseConfig } from '../config/config.ts'
import { type DataDirectory, formatNodeId } from '../data/directory.ts'
import { setAsideStrays } from '../data/strays.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { type Mounted } from '../fuse/device.ts'
import { realPath } from '../fuse/host/mount-point.ts'
import { MountWatch } from '../fuse/host/mount-watch.ts'
import type { HandedOver } from '../fuse/mount/handed-over.ts'
import { clearStaleMount, mount, mountedAs, unmount } from '../fuse/mount/mount.ts'
import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'

export interface NodeMountOptions {
  readonly dir: string
  readonly fuse: Pick<FuseConfig, 'driver' | 'allowOther'>
  /** Root made the mount at `dir` and removes it. */
  readonly handedOver: HandedOver | undefined
  /** The node's logger, which carries its id once that is known. */
  readonly logger: () => Logger
  /** Someone else has detached the mount. */
  readonly lost: () => void
}

/** The node's mount, from the mount call to the unmount. */
export class NodeMount {
  readonly #options: NodeMountOptions
  #mounted: Mounted | undefined
  #watch: MountWatch | undefined
  /** The mount has lost its path, while open files still use its connection. */
  #isDetached = false

  constructor(options: NodeMountOptions) {
    this.#options = options
  }

  async clearStale(): Promise<void> {
    const { dir, handedOver, logger } = this.#options
    if (handedOver === undefined && (await clearStaleMount(dir))) {
      logger().warn({ mount: dir }, 'removed the mount of a node that had died')
    }
  }

  /**
   * Mounts. Journals that lie below the mount point move to `strays/` first: SQLite would not find them afterwards.
   */
  async open(data: DataDirectory): Promise<Mounted> {
    this.#mounted = await this.#mount(data)
    this.#watch = new MountWatch(realPath(this.#options.dir), () => this.#lost()).start()
    return this.#mounted
  }

  /**
   * Ends writing through the mount, and unmounts it. A mount that this process cannot remove ends when its device is
   * closed.
   */
  async leave(plane: DataPlane | undefined): Promise<void> {
    const { dir, handedOver, logger } = this.#options
    this.#watch?.stop()
    if (this.#mounted === undefined) return
    if (handedOver !== undefined || this.#isDetached) {
      if (plane !== undefined) plane.shared.leads = false
      if (!this.#isDetached) logger().info({ mount: dir }, 'root made the mount, so root has to remove it with umount')
      return
    }
    plane?.releaseMount()
    const left = await unmount(dir, async () => plane?.keepReachable(dir))
    if (left === 'detached') {
      logger().warn({ mount: dir }, 'files on the mount were still open: every further access to them fails')
    }
  }

  async close(): Promise<void> {
    await this.#mounted?.close()
  }

  /** The error that ends the node when the mount is gone. */
  unmounted(): LtxdError {
    const why = this.#mounted?.end ?? `${this.#options.dir} was unmounted by someone else`
    return new LtxdError('UNMOUNTED', `${why}: the node ends`)
  }

  async #mount(data: DataDirectory): Promise<Mounted> {
    const { dir, fuse, handedOver, logger } = this.#options
    const { driver, allowOther } = fuse
    if (handedOver !== undefined) {
      if (driver === 'direct') return mountedAs(handedOver.device)
      throw new LtxdError(
        'MOUNT_FAILED',
        `${dir} is mounted already, and fuse.driver is ${driver}, which mounts by itself: set fuse.driver to direct`,
      )
    }
    const strays = setAsideStrays(dir, `${data.dir}/strays`, data.modes)
    if (strays.length > 0) {
      logger().warn({ strays }, 'moved journals from below the mount point into the data directory')
    }
    // No path: mount(8) would take a file of that name for the device that is mounted.
    return mount(dir, { driver, fsname: `ltxd:${formatNodeId(data.nodeId)}`, allowOther })
  }

  /** Programs with open files would continue, but new opens would reach the directory underneath and bypass ltxd. */
  #lost(): void {
    this.#isDetached = true
    this.#options.lost()
  }
}
