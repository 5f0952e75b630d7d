import os from 'node:os'
import type { FastifyInstance } from 'fastify'
import type { Api } from '../api/server.ts'
import { startApi } from '../api/server.ts'
import type { NodeStatus } from '../api/status.ts'
import type { ClusterConfig, Config } from '../config/config.ts'
import { warnOfTestLimits } from '../config/limits.ts'
import type { DataDirectory } from '../data/directory.ts'
import { formatNodeId, openDataDirectory } from '../data/directory.ts'
import { nextGeneration } from '../data/mount-generation.ts'
import { Owners } from '../data/owners.ts'
import { DataPlane } from '../dataplane/dataplane.ts'
import type { HandedOver } from '../fuse/mount/handed-over.ts'
import type { Position } from '../ltx/format/types.ts'
import { registerStream } from '../stream/primary/route.ts'
import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import { FOREVER_NS, nowMs } from '../util/monotonic.ts'
import { modesOf } from '../util/private-files.ts'
import { Checkpoints } from './checkpoints.ts'
import { lastWords, type StoppedInCluster } from './clean-stop.ts'
import { Cluster, type ClusterOptions } from './cluster.ts'
import { DroppedDatabases } from './dropped-databases.ts'
import { everyStep } from './every-step.ts'
import { LogMaintenance } from './log-maintenance.ts'
import { NodeBackup } from './node-backup.ts'
import type { Node, StartOptions } from './node-interface.ts'
import { NodeMount } from './node-mount.ts'
import { type NodeParts, nodeStatus, unready, unserved } from './node-status.ts'
import { RoleWait } from './role-wait.ts'
import { prepareScrubber, type Scrubber } from './scrubber.ts'

export type { Node, StartOptions } from './node-interface.ts'

const LOG_INTERVAL_MS = 2_000
/** What a stop takes beside the last uploads: the unmount, the end of the data plane. */
const REST_MS = 2_000
/** Even where less time is left. */
const MIN_SHIP_MS = 1_000

/**
 * Starts a node: data directory, recovery, mount, background services, API. When this resolves, applications can open
 * databases. Throws LtxdError, after it has stopped the parts that had started.
 */
export async function startNode(config: Config, logger: Logger, options: StartOptions = {}): Promise<Node> {
  const mountDir = config.fuse.dir
  if (mountDir === undefined) {
    throw new LtxdError(
      'NO_MOUNT_POINT',
      'no mount point: name a directory, as in "ltxd mount DIR", or set fuse.dir',
      2,
    )
  }
  const node = new RunningNode(config, mountDir, logger, options.handedOver)
  try {
    await node.start(options.signal)
    return node
  } catch (error) {
    await node.stop()
    throw error
  }
}

class RunningNode implements Node {
  readonly mountDir: string
  readonly closed: Promise<void>
  readonly #config: Config
  readonly #startedAtMs = Date.now()
  readonly #mount: NodeMount
  #logger: Logger
  #data: DataDirectory | undefined
  #owners: Owners | undefined
  #plane: DataPlane | undefined
  #logs: LogMaintenance | undefined
  #scrubber: Scrubber | undefined
  #backup: NodeBackup | undefined
  #checkpoints: Checkpoints | undefined
  #cluster: Cluster | undefined
  #api: Api | undefined
  #roleWait: RoleWait | undefined
  #isServing = false
  #hasFailed = false
  #stopping: Promise<void> | undefined
  #end: { resolve: () => void; reject: (error: unknown) => void } | undefined

  constructor(config: Config, mountDir: string, logger: Logger, handedOver: HandedOver | undefined) {
    this.#config = config
    this.mountDir = mountDir
    this.#logger = logger
    this.#mount = new NodeMount({
      ...{ dir: mountDir, fuse: config.fuse, handedOver },
      logger: () => this.#logger,
      lost: () => this.#unmounted(),
    })
    this.closed = new Promise((resolve, reject) => (this.#end = { resolve, reject }))
    this.closed.catch(() => {})
  }

  get nodeId(): string {
    return formatNodeId(this.#data?.nodeId ?? 0n)
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    const config = this.#config
    warnOfTestLimits(this.#logger)
    const data = (this.#data = openDataDirectory(config.data.dir, {
      modes: modesOf(config.data.mode),
      changed: (message) => this.#logger.warn(message),
    }))
    const logger = (this.#logger = this.#logger.child({ node: this.nodeId }))
    await this.#mount.clearStale(data)
    const owners = (this.#owners = new Owners({ ...data, override: config.fuse.owner, logger }))
    if (config.backup !== undefined) this.#backup = new NodeBackup(config.backup, data, owners, logger)
    const rejections = await this.#backup?.hydrate(signal, { hasPeers: config.cluster !== undefined })
    const plane = (this.#plane = this.#startPlane(data))
    await plane.recover()
    for (const [name, reason] of rejections ?? []) await plane.rejectAtStart(name, reason)
    if (config.cluster === undefined) await this.#leadAlone(plane, signal)
    signal?.throwIfAborted()
    this.#scrubber = prepareScrubber(data, plane, this.#logger)
    const roleWait = (this.#roleWait = RoleWait.atStart(plane, config.cluster, this.#logger))
    await plane.serve(this.mountDir, await this.#mount.open(data, signal), nextGeneration(data))
    this.#scrubber.start()
    this.#logs = this.#startLogMaintenance(data, plane)
    if (config.data.checkpoint !== 'application')
      this.#checkpoints = new Checkpoints({
        plane,
        mountDir: this.mountDir,
        data,
        logger,
      })
    if (config.cluster === undefined) this.#checkpoints?.start()
    this.#api = await this.#startApi(data)
    if (config.cluster !== undefined)
      await this.#joinCluster(config.cluster, { data, plane, owners, roleWait }, this.#api, signal)
    this.#isServing = true
    logger.info({ mount: this.mountDir, data: data.dir, databases: plane.databases.size }, 'serving')
  }

  status(): NodeStatus {
    return nodeStatus(this.#parts())
  }

  stop(withinMs = this.#config.stopTimeoutMs): Promise<void> {
    // A node that has not served yet has nothing that would be worth waiting for.
    return (this.#stopping ??= this.#shutDown(nowMs() + (this.#isServing ? withinMs - REST_MS : 0)))
  }

  #parts(): NodeParts {
    return {
      ...{ config: this.#config, mountDir: this.mountDir, startedAtMs: this.#startedAtMs },
      ...{ nodeId: this.#data?.nodeId ?? 0n, plane: this.#plane, logs: this.#logs, backup: this.#backup },
      ...{ checkpoints: this.#checkpoints, cluster: this.#cluster },
    }
  }

  /** A node without peers: no other node writes to its history. */
  async #leadAlone(plane: DataPlane, signal: AbortSignal | undefined): Promise<void> {
    await this.#backup?.begin(plane, signal)
    plane.shared.leads = true
    plane.shared.deadlineNs = FOREVER_NS
  }

  /** Resolves when this node leads, or has caught up with its primary. Until then it accepts no writes. */
  async #joinCluster(
    config: ClusterConfig,
    parts: Pick<ClusterOptions, 'data' | 'plane' | 'owners' | 'roleWait'>,
    api: Api,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const own = { backup: this.#backup, checkpoints: this.#checkpoints, mountDir: this.mountDir, logger: this.#logger }
    // On a static replica the configuration names the primary, not this node.
    const isNamed = config.type !== 'static' || config.candidate
    const self = {
      nodeId: this.nodeId,
      hostname: isNamed ? config.hostname : os.hostname(),
      url: (isNamed ? config.advertiseUrl : undefined) ?? api.url,
    }
    const isLeased = config.type !== 'static'
    this.#cluster = new Cluster({
      ...{ ...parts, ...own },
      ...{ config, self, isLeased, reconnectMs: config.reconnectDelayMs, ...this.#config.stream },
      candidate: !isLeased || config.candidate,
    })
    await this.#cluster.start(signal)
  }

  #startApi({ dir, files }: DataDirectory): Promise<Api> {
    const { http, cluster } = this.#config
    const source = {
      ...{ status: () => this.status(), unserved: () => unserved(this.#plane) },
      unready: () => (this.#stopping === undefined ? unready(this.#parts()) : 'stopping'),
      promote: (signal: AbortSignal, options: { force: boolean }) => this.#clustered().promote(signal, options),
      handoff: (node: string) => this.#clustered().handoff(node),
    }
    const routes = async (server: FastifyInstance) => {
      if (cluster !== undefined) await registerStream(server, (...raw) => this.#clustered().role.server.handle(...raw))
    }
    return startApi({ http, dataDir: dir, files, source, routes, logger: this.#logger })
  }

  #clustered(): Cluster {
    if (this.#cluster !== undefined) return this.#cluster
    throw new LtxdError('NO_CLUSTER', 'this node is in no cluster: set lease.type, or name a Consul with --consul')
  }

  #startPlane({ dir, at, root, modes, nodeId }: DataDirectory): DataPlane {
    const plane = new DataPlane({
      ...{ dataDir: dir, at },
      root,
      mountDir: this.mountDir,
      modes,
      nodeId,
      segmentSizeBytes: this.#config.data.segmentSizeBytes,
      filter: { databases: this.#config.fuse.databases, otherFiles: this.#config.fuse.otherFiles },
      ...{ latency: this.#config.fuse.latency, replicaWrites: this.#config.fuse.replicaWrites },
      delaysCommits: this.#config.stream.maxLagMs !== undefined,
      log: (level, message, fields) => this.#logger[level](fields, message),
      appeared: (database) => this.#backup?.appeared(database),
      released: (name, drop) => this.#released(name, drop),
      ownerChanged: (name) => this.#owners?.changed(name),
    })
    plane.ended.then(() => this.#unmounted()).catch((error: unknown) => this.#fail(error))
    return plane
  }

  #startLogMaintenance({ dir, root, files }: DataDirectory, plane: DataPlane): LogMaintenance {
    const role = () => this.#cluster?.role
    const options = { plane, dataDir: dir, files, backup: this.#backup, role, logger: this.#logger }
    const dropped = new DroppedDatabases(options)
    const logs = new LogMaintenance({
      dataDir: dir,
      root,
      files,
      databases: () => plane.databases.values(),
      retention: this.#config.data.retention,
      uploaded: (name) => this.#backup?.uploaded(name),
      checked: (database) => dropped.check(database),
      logger: this.#logger,
      nowMs: Date.now,
      intervalMs: LOG_INTERVAL_MS,
    })
    logs.start()
    return logs
  }

  /** Only the position of the database's drop remains. */
  #released(name: string, drop: Position): void {
    this.#logs?.forget(name)
    this.#backup?.released(name, drop)
    this.#cluster?.role.released(name)
  }

  #unmounted(): void {
    if (this.#stopping === undefined) this.#fail(this.#mount.unmounted())
  }

  /** Applications get errors from now on, so the node stops. */
  #fail(error: unknown): void {
    this.#hasFailed = true
    this.#end?.reject(error)
    this.stop().catch(() => {})
  }

  async #shutDown(untilMs: number): Promise<void> {
    const leftMs = () => (this.#isServing ? Math.max(MIN_SHIP_MS, untilMs - nowMs()) : 0)
    this.#roleWait?.end()
    const role = this.#cluster?.nodeRole
    const primary = this.#cluster?.status().primary?.hostname
    let isSafe = false
    await everyStep([
      async () => (isSafe = (await this.#cluster?.stop(leftMs())) ?? false),
      () => this.#api?.close(),
      () => this.#checkpoints?.stop(),
      () => this.#mount.leave(this.#plane),
      // Both record how far the database files are durable.
      () => this.#scrubber?.stop(),
      () => this.#logs?.stop(),
      () => this.#plane?.stop().catch((error: unknown) => this.#fail(error)),
      () => this.#backup?.stop(leftMs()),
      () => this.#mount.close(),
      () => this.#data?.close(),
    ])
    const { ledLast = false, successor } = this.#cluster?.role ?? {}
    this.#sayLast(isSafe, role && { role: ledLast ? 'primary' : role, primary, successor })
  }

  /** Throws when this node has transactions that may be nowhere else. */
  #sayLast(isSafe: boolean, cluster: StoppedInCluster | undefined): void {
    const own = { plane: this.#plane, root: this.#data?.root ?? '', backup: this.#backup, cluster }
    try {
      if (this.#isServing && !this.#hasFailed)
        this.#logger.info(lastWords({ ...own, backupUrl: this.#config.backup?.url }, isSafe))
      this.#end?.resolve()
    } catch (error) {
      this.#end?.reject(error)
      throw error
    }
  }
}
