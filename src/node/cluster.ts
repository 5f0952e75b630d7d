import { setTimeout as sleep } from 'node:timers/promises'
import { requestHandoff } from '../api/client.ts'
import type { ClusterStatus } from '../api/status.ts'
import { UPLOAD_TIMEOUT_MS } from '../backup/history/upload-window.ts'
import { ConsulLease } from '../cluster/lease/consul-lease.ts'
import type { Lease } from '../cluster/lease/lease.ts'
import { StaticLease } from '../cluster/lease/static-lease.ts'
import { Membership } from '../cluster/membership.ts'
import type { ClusterConfig } from '../config/config.ts'
import { formatPosition } from '../ltx/format/types.ts'
import type { ReplicaStatus } from '../replica/replica.ts'
import { errorCode, LtxdError } from '../util/errors.ts'
import { ClusterRole, DRAIN_MS } from './cluster-role.ts'
import type { ClusterRoleOptions } from './cluster-role-options.ts'

export interface ClusterOptions extends ClusterRoleOptions {
  readonly config: ClusterConfig
}

/** How long this node may take to lead after the primary's release. It reads the backup in between. */
const TAKE_OVER_MS = 30_000
const POLL_MS = 10
const NO_PRIMARY = 'no primary is known'

/** This node's place among its peers. */
export class Cluster {
  readonly role: ClusterRole
  readonly #options: ClusterOptions
  readonly #membership: Membership

  constructor(options: ClusterOptions) {
    const { config, data, self, logger } = options
    this.#options = options
    this.role = new ClusterRole(options)
    this.#membership = new Membership({
      lease: openLease(options),
      host: this.role,
      self,
      candidate: config.candidate,
      demoteMs: config.demoteDelayMs,
      uploadWindowMs: UPLOAD_TIMEOUT_MS,
      hasBackup: options.backup !== undefined,
      yieldMs: config.yieldMs,
      found: config.found,
      readClusterId: () => data.clusterId(),
      writeClusterId: (id) => data.joinCluster(id),
      logger,
    })
  }

  /** Resolves when this node leads, or has caught up with its primary. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const { config } = this.#options
    await this.role.start()
    this.#membership.start()
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
    await Promise.race([this.#membership.roleTaken.then(() => this.role.readiness.first), aborted])
    if (config.promote && this.nodeRole === 'replica') void this.#promoteAsConfigured()
  }

  async #promoteAsConfigured(): Promise<void> {
    const { logger } = this.#options
    try {
      await this.promote()
    } catch (error) {
      logger.warn({ err: error }, 'lease.promote is set, but the primary did not pass the lease to this node')
    }
  }

  /**
   * Requests the lease from the primary; resolves when this node leads. With `force`, when there is no primary or it
   * does not answer, this node leads as soon as the lease is free, without the transactions that only other nodes have.
   */
  async promote(signal?: AbortSignal, { force = false } = {}): Promise<void> {
    const { role, primary, candidate, lastError } = this.#membership.status()
    if (role === 'primary') return
    if (!candidate) throw new LtxdError('NOT_A_CANDIDATE', 'this node is no candidate: set lease.candidate to true')
    if (role === 'idle' || primary === undefined) {
      const why = lastError === undefined ? '' : ` (${lastError})`
      if (!force) {
        throw new LtxdError(
          'NO_PRIMARY',
          `there is no primary to take over from: this node leads as soon as it can${why}`,
        )
      }
    } else {
      await requestHandoff(primary.url, this.#options.self.nodeId).catch((error: unknown) => {
        // A primary that answers decides by itself: `force` does not override its rejection.
        if (!force || errorCode(error) !== 'NODE_UNREACHABLE') throw error
      })
    }
    if (force) this.#membership.force()
    for (const until = performance.now() + TAKE_OVER_MS; this.nodeRole !== 'primary'; await sleep(POLL_MS)) {
      signal?.throwIfAborted()
      if (performance.now() < until) continue
      throw new LtxdError(
        'NOT_LEADING',
        `this node was to lead, but does not after ${TAKE_OVER_MS / 1000} s: see its log for the reason`,
      )
    }
  }

  async handoff(node: string): Promise<void> {
    const replica = this.role.server.replicas().find(({ nodeId, hostname }) => nodeId === node || hostname === node)
    const { nodeId, hostname } = this.#options.self
    if (replica === undefined && (node === nodeId || node === hostname)) {
      throw new LtxdError('HANDOFF_REFUSED', `${node} is this node, which leads already: name another one`)
    }
    if (replica === undefined) {
      throw new LtxdError('NO_SUCH_REPLICA', `no replica ${node} is connected: "ltxd status" lists the connected ones`)
    }
    // Before anything is given up: commits go on meanwhile.
    const problem = await this.role.server.whyNotSuccessor(DRAIN_MS, replica.nodeId)
    if (problem !== undefined) {
      const advice = 'Nothing has changed. "ltxd status" on that node says what holds it up'
      throw new LtxdError('HANDOFF_REFUSED', `${replica.hostname} cannot lead now: ${problem}. ${advice}`)
    }
    return this.#membership.handoff(replica.nodeId)
  }

  status(): ClusterStatus {
    const { type, clusterId, term, candidate, primary, deadlineMs, lastError } = this.#membership.status()
    const replica = this.role.replica?.status()
    const error = lastError ?? replica?.lastError
    return {
      type,
      term: term.toString(),
      candidate,
      ...(clusterId !== undefined && { id: clusterId }),
      ...(primary && { primary }),
      ...(deadlineMs !== undefined && { leaseRemainingMs: deadlineMs }),
      ...(replica && connectionOf(replica, primary === undefined ? NO_PRIMARY : 'connecting', lastError)),
      ...(error !== undefined && { lastError: error }),
      replicas: this.role.server.replicas().map(({ positions, ...replica }) => ({
        ...replica,
        positions: Object.fromEntries(Array.from(positions, ([name, at]) => [name, formatPosition(at)])),
      })),
    }
  }

  /** Why this node can neither lead nor follow. */
  get mismatch(): string | undefined {
    return this.#membership.mismatch
  }

  get nodeRole(): 'primary' | 'replica' | 'idle' {
    return this.#membership.status().role
  }

  /**
   * Releases the lease once a replica or the backup has everything. Returns whether others are known to have everything
   * of this node.
   */
  async stop(withinMs: number): Promise<boolean> {
    const isSafe = await this.#membership.stop(withinMs)
    await this.role.stop()
    return isSafe
  }
}

function connectionOf(
  { connected, disconnectedAtMs, lagMs, lastError }: ReplicaStatus,
  state: string,
  clusterError: string | undefined,
): Pick<ClusterStatus, 'connected' | 'lagMs' | 'disconnectedAtMs' | 'disconnectedReason'> {
  return {
    connected,
    ...(lagMs !== undefined && { lagMs }),
    ...(disconnectedAtMs !== undefined && {
      disconnectedAtMs,
      disconnectedReason: lastError ?? clusterError ?? state,
    }),
  }
}

function openLease({ config, self, data }: ClusterOptions): Lease {
  if (config.consul !== undefined) {
    const { url, key } = config.consul
    return new ConsulLease({ url, key, ttlMs: config.ttlMs, sessionName: `ltxd ${self.hostname} ${self.nodeId}` })
  }
  if (config.candidate) return new StaticLease({ primary: 'self', self, term: { read: () => data.ledTerm() } })
  // On a static replica, both settings describe the primary, as in litefs.yml.
  const { hostname, advertiseUrl: url } = config
  if (url === undefined) {
    throw new LtxdError(
      'NO_PRIMARY',
      'a static replica needs to know its primary: set lease.advertise-url to its URL',
      2,
    )
  }
  return new StaticLease({ primary: { hostname, url } })
}
