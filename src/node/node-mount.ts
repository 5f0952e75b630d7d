import type { FuseConfig } from '../config/config.ts'
import { type DataDirectory, formatNodeId } from '../data/directory.ts'
import { setAsideStrays } from '../data/strays.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { atDirectory, findPlace } from '../fuse/host/mount-place.ts'
import { mountUsers, stopMountUsers } from '../fuse/host/mount-users.ts'
import { MountWatch } from '../fuse/host/mount-watch.ts'
import type { MountEntry } from '../fuse/host/mountinfo.ts'
import { type Mounted, mountedAs, OwnMount } from '../fuse/host/own-mount.ts'
import type { HandedOver } from '../fuse/mount/handed-over.ts'
import { clearStaleMount, mount, unmount } from '../fuse/mount/mount.ts'
import { errorMessage, LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'

const REMOVED = 'removed the mount of a node that had died'
const LEFT_BEHIND =
  'a program has files of a node open that died: it reads what was there before until it opens them anew; ' +
  'restart it, or set fuse.stale-clients to stop'
/** Programs, and files of each, that a log names. */
const MAX_NAMED = 10

export interface NodeMountOptions {
  readonly dir: string
  readonly fuse: Pick<FuseConfig, 'driver' | 'allowOther' | 'staleClients'>
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

  /** Removes the mount of a node that died. This process holds the data directory, so nobody else serves it. */
  async clearStale(data: DataDirectory): Promise<void> {
    const { dir, handedOver, logger, fuse } = this.#options
    if (handedOver !== undefined) return
    const cleared = await clearStaleMount(dir, { own: sourceOf(data), found: (stale) => this.#leftBehind(stale) })
    if (cleared) logger().warn({ mount: dir, 'stale-clients': fuse.staleClients }, REMOVED)
  }

  /** They have files of a dead mount open. */
  async #leftBehind(stale: MountEntry): Promise<void> {
    const { fuse, logger } = this.#options
    const users = mountUsers(stale)
    for (const { pid, command, files } of users.slice(0, MAX_NAMED)) {
      logger().warn({ pid, command, files: files.slice(0, MAX_NAMED) }, LEFT_BEHIND)
    }
    if (users.length > MAX_NAMED) logger().warn({ count: users.length - MAX_NAMED }, 'so do more programs')
    if (users.length > 0 && fuse.staleClients === 'stop') await stopMountUsers(stale)
  }

  /**
   * Mounts. Journals that lie below the mount point move to `strays/` first: SQLite would not find them afterwards.
   */
  async open(data: DataDirectory, signal: AbortSignal | undefined): Promise<Mounted> {
    this.#mounted = await this.#mount(data, signal)
    this.#watch = new MountWatch(this.#mounted.at.entry, () => this.#lost()).start()
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
    if (handedOver !== undefined || (this.#isDetached && !this.#mounted.at.isThere())) {
      if (plane !== undefined) await this.#cutOff(plane)
      if (!this.#isDetached) logger().info({ mount: dir }, 'root made the mount, so root has to remove it with umount')
      return
    }
    await plane?.releaseMount()
    const left = await unmount(this.#mounted.at, async () => plane && this.#cutOff(plane))
    if (left === 'detached') {
      logger().warn({ mount: dir }, 'files on the mount were still open: every further access to them fails')
    }
  }

  async close(): Promise<void> {
    await this.#mounted?.close()
  }

  /** Programs with open files get errors from now on. A mount that does not answer any more ends all the same. */
  async #cutOff(plane: DataPlane): Promise<void> {
    const { dir, logger } = this.#options
    await plane.cutOff(dir).catch((error: unknown) => {
      logger().warn({ mount: dir, reason: errorMessage(error) }, 'programs with open files may read on in old content')
    })
  }

  /** The error that ends the node when the mount is gone. */
  unmounted(): LtxdError {
    const why = this.#mounted?.end ?? `${this.#options.dir} was unmounted by someone else`
    return new LtxdError('UNMOUNTED', `${why}: the node ends`)
  }

  async #mount(data: DataDirectory, signal: AbortSignal | undefined): Promise<Mounted> {
    const { dir, fuse, handedOver, logger } = this.#options
    const { driver, allowOther } = fuse
    if (handedOver !== undefined) {
      if (driver === 'direct') return mountedAs(handedOver.device, new OwnMount(handedOver.mount, findPlace(dir)))
      throw new LtxdError(
        'MOUNT_FAILED',
        `${dir} is mounted already, and fuse.driver is ${driver}, which mounts by itself: set fuse.driver to direct`,
      )
    }
    const kept = { files: data.files, into: `${data.dir}/strays`, signal }
    const strays = (await atDirectory(dir, (at) => setAsideStrays(at, kept))) ?? []
    if (strays.length > 0) {
      logger().warn({ strays }, 'moved journals from below the mount point into the data directory')
    }
    return mount(dir, { driver, fsname: sourceOf(data), allowOther })
  }

  /** Programs with open files would continue, but new opens would reach the directory underneath and bypass ltxd. */
  #lost(): void {
    this.#isDetached = true
    this.#options.lost()
  }
}

/** What mount(8) shows. No path: it would take a file of that name for the device that is mounted. */
function sourceOf({ nodeId }: Pick<DataDirectory, 'nodeId'>): string {
  return `ltxd:${formatNodeId(nodeId)}`
}
