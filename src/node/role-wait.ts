import type { Awaiting } from '../capture/authority.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { Logger } from '../util/log.ts'

export interface RoleWaitOptions {
  readonly plane: Pick<DataPlane, 'shared' | 'takeTurn'>
  readonly ttlMs: number
  readonly logger: Logger
}

/**
 * A candidate takes over a record that has not changed for a whole TTL. So after twice that the role is known, unless
 * there is nobody to tell it.
 */
const TTLS = 2
/** A slow Consul may take as long, however short the TTL. */
const LEAST_MS = 10_000

/**
 * What applications write while this node's role is not known yet waits for the role, for a bounded time: after a
 * start, when the mount is there and the lease was not read yet, and while the node takes over. Afterwards it is
 * performed, or rejected as on any replica.
 */
export class RoleWait {
  readonly #options: RoleWaitOptions
  readonly #longestMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: RoleWaitOptions) {
    this.#options = options
    this.#longestMs = Math.max(LEAST_MS, Number.isFinite(options.ttlMs) ? TTLS * options.ttlMs : 0)
  }

  /** Called before the mount can be seen. Without a `cluster` this node leads already. */
  static atStart(
    plane: RoleWaitOptions['plane'],
    cluster: { readonly ttlMs: number } | undefined,
    logger: Logger,
  ): RoleWait {
    const wait = new RoleWait({ plane, ttlMs: cluster?.ttlMs ?? 0, logger })
    if (cluster !== undefined) wait.begin('opens')
    return wait
  }

  /**
   * `opens`: opens for writing wait, too. The local client then gets the locks that opening a database needs. Changes
   * nothing where something waits already.
   */
  begin(awaiting: Exclude<Awaiting, 'nothing'>): void {
    if (this.#options.plane.shared.awaiting !== 'nothing') return
    this.#options.plane.shared.awaiting = awaiting
    this.#timer = setTimeout(() => {
      const message = 'what applications write is not delayed any longer until this node has a role: it is rejected'
      this.#options.logger.warn({ afterMs: this.#longestMs }, message)
      this.end()
    }, this.#longestMs).unref()
  }

  /** The local client has opened the databases. */
  opened(): void {
    if (this.#options.plane.shared.awaiting === 'opens') this.#set('writes')
  }

  /** The role is known; or what waits would itself hold up the way to it. */
  end(): void {
    clearTimeout(this.#timer)
    if (this.#options.plane.shared.awaiting !== 'nothing') this.#set('nothing')
  }

  #set(awaiting: Awaiting): void {
    const { plane } = this.#options
    plane.shared.awaiting = awaiting
    plane.takeTurn()
  }
}
