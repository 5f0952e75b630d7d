import os from 'node:os'
import type { FastifyInstance } from 'fastify'
import type { Api } from '../api/server.ts'
import { startApi } from '../api/server.ts'
import type { BackupStatus, DatabaseStatus, NodeStatus } from '../api/status.ts'
import { damageFound } from '../capture/rejection.ts'
import type { ClusterConfig, Config } from '../config/config.ts'
import { warnOfTestLimits } from '../config/limits.ts'
import type { DataDirectory } from '../data/directory.ts'
import { formatNodeId, openDataDirectory } from '../data/directory.ts'
import { setAsideStrays } from '../data/strays.ts'
import type { KnownDatabase } from '../dataplane/dataplane.ts'
import { DataPlane } from '../dataplane/dataplane.ts'
import { type Mounted } from '../fuse/device.ts'
import { realPath } from '../fuse/host/mount-point.ts'
import { MountWatch } from '../fuse/host/mount-watch.ts'
import type { HandedOver } from '../fuse/mount/handed-over.ts'
import { clearStaleMount, mount, mountedAs, unmount } from '../fuse/mount/mount.ts'
import { logDirectory } from '../log/store.ts'
import { doubt } from '../log/trust.ts'
import { formatPosition, formatTXID } from '../ltx/format/types.ts'
import { registerStream } from '../stream/primary/route.ts'
import { LtxdError } from '../util/errors.ts'
import { nodeFiles } from '../util/files.ts'
import type { Logger } from '../util/log.ts'
import { VERSION } from '../util/version.ts'
import { Checkpoints } from './checkpoints.ts'
import { Cluster } from './cluster.ts'
import { LogKeeper } from './log-keeper.ts'
import { NodeBackup } from './node-backup.ts'
import { Scrubber } from './scrubber.ts'

/** A running node. */
export interface Node {
  readonly mountDir: string
  /** Resolves when the node has ended; rejects when it could not go on. */
  readonly closed: Promise<void>
  status(): NodeStatus
  /** Unmounts, makes everything durable, ships the rest, ends. */
  stop(): Promise<void>
}

export interface StartOptions {
  readonly signal?: AbortSignal
  /** The mount at fuse.dir was made by root, who takes it away. */
  readonly handedOver?: HandedOver | undefined
}

const KEEPER_INTERVAL_MS = 2_000
const SCRUB_BYTES_PER_SECOND = 100e6
/** The deadline of a lease that never runs out. */
const NEVER_NS = 2n ** 63n - 1n

/**
 * Starts a node: data directory, recovery, mount, background services, API. When this resolves, applications can open databases.
 * Throws LtxdError; what was started is then stopped again.
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
  readonly #logger: Logger
  readonly #startedAtMs = Date.now()
  #data: DataDirectory | undefined
  #plane: DataPlane | undefined
  #keeper: LogKeeper | undefined
  #scrubber: Scrubber | undefined
  #backup: NodeBackup | undefined
  #checkpoints: Checkpoints | undefined
  #cluster: Cluster | undefined
  #api: Api | undefined
  readonly #handedOver: HandedOver | undefined
  #mounted: Mounted | undefined
  #mountWatch: MountWatch | undefined
  /** The mount has lost its name while its connection lives on. */
  #detached = false
  #stopping: Promise<void> | undefined
  #end: { resolve: () => void; reject: (error: unknown) => void } | undefined

  constructor(config: Config, mountDir: string, logger: Logger, handedOver: HandedOver | undefined) {
    this.#config = config
    this.mountDir = mountDir
    this.#logger = logger
    this.#handedOver = handedOver
    this.closed = new Promise((resolve, reject) => (this.#end = { resolve, reject }))
    this.closed.catch(() => {})
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    const config = this.#config
    const logger = this.#logger
    warnOfTestLimits(logger)
    if (this.#handedOver === undefined && (await clearStaleMount(this.mountDir)))
      logger.warn({ mount: this.mountDir }, 'cleared the mount of a dead node')
    const data = (this.#data = openDataDirectory(config.data.dir))
    if (config.backup !== undefined) this.#backup = new NodeBackup(config.backup, data, logger)
    await this.#backup?.hydrate(signal, { hasPeers: config.cluster !== undefined })
    const plane = (this.#plane = this.#startPlane(data))
    await plane.recover()
    if (config.cluster === undefined) await this.#leadAlone(plane, signal)
    signal?.throwIfAborted()
    this.#mounted = await this.#mount(data)
    this.#mountWatch = new MountWatch(realPath(this.mountDir), () => this.#lostItsName()).start()
    this.#scrubber = this.#prepareScrubber(data, plane)
    await plane.serve(this.mountDir, this.#mounted)
    this.#scrubber.start()
    this.#keeper = this.#startKeeper(data, plane)
    this.#checkpoints = this.#prepareCheckpoints(data, plane)
    if (config.cluster === undefined) this.#checkpoints?.start()
    this.#api = await this.#startApi(data)
    if (config.cluster !== undefined) await this.#joinCluster(config.cluster, data, plane, this.#api, signal)
    logger.info({ mount: this.mountDir, data: data.dir, databases: plane.databases.size }, 'serving')
  }

  status(): NodeStatus {
    const config = this.#config
    const data = this.#data
    const plane = this.#plane
    const backups = this.#backup?.status()
    return {
      version: VERSION,
      nodeId: formatNodeId(data?.nodeId ?? 0n),
      pid: process.pid,
      startedAtMs: this.#startedAtMs,
      role: this.#config.cluster === undefined ? 'primary' : (this.#cluster?.nodeRole ?? 'idle'),
      ...(this.#cluster && { cluster: this.#cluster.status() }),
      mount: { dir: this.mountDir, requests: plane?.shared.requests.byName() ?? {} },
      data: { dir: config.data.dir },
      ...(config.backup && { backup: { url: config.backup.url } }),
      databases: Array.from(plane?.databases.values() ?? [])
        .filter(({ rejection, state }) => rejection !== undefined || state().tracked)
        .map((database) => this.#describe(database, backups?.get(database.name))),
    }
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#shutDown())
  }

  async #mount(data: DataDirectory): Promise<Mounted> {
    const { driver, allowOther } = this.#config.fuse
    if (this.#handedOver !== undefined) {
      if (driver === 'direct') return mountedAs(this.#handedOver.device)
      const message = `${this.mountDir} is mounted already, and fuse.driver is ${driver}, which mounts by itself; set it to direct`
      throw new LtxdError('MOUNT_FAILED', message)
    }
    const strays = setAsideStrays(this.mountDir, `${data.dir}/strays`)
    if (strays.length > 0) this.#logger.warn({ strays }, 'set aside journals that were left below the mount')
    return mount(this.mountDir, { driver, fsname: 'ltxd', allowOther })
  }

  /** A node of its own: nobody else writes to its history. */
  async #leadAlone(plane: DataPlane, signal: AbortSignal | undefined): Promise<void> {
    await this.#backup?.begin(plane, signal)
    plane.shared.leads = true
    plane.shared.deadlineNs = NEVER_NS
  }

  /** Resolves when this node leads, or has what its primary has. Until then nothing can be written on it. */
  async #joinCluster(
    config: ClusterConfig,
    data: DataDirectory,
    plane: DataPlane,
    api: Api,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { mountDir } = this
    const logger = this.#logger
    const backup = this.#backup
    const checkpoints = this.#checkpoints
    const nodeId = formatNodeId(data.nodeId)
    // On a static replica the configuration names the primary, not this node.
    const isNamed = config.type !== 'static' || config.candidate
    const self = {
      nodeId,
      hostname: isNamed ? config.hostname : os.hostname(),
      url: (isNamed ? config.advertiseUrl : undefined) ?? api.url,
    }
    const { reconnectDelayMs: reconnectMs } = config
    const isLeased = config.type !== 'static'
    this.#cluster = new Cluster({
      ...{ config, data, plane, backup, checkpoints, mountDir },
      ...{ self, isLeased, reconnectMs, logger },
    })
    await this.#cluster.start(signal)
  }

  #startApi({ dir }: DataDirectory): Promise<Api> {
    const { http, cluster } = this.#config
    const source = {
      status: () => this.status(),
      unready: () => this.#unready(),
      promote: (signal: AbortSignal, options: { force: boolean }) => this.#clustered().promote(signal, options),
      handoff: (node: string) => this.#clustered().handoff(node),
    }
    const routes = async (server: FastifyInstance) => {
      if (cluster !== undefined) await registerStream(server, (...raw) => this.#clustered().role.server.handle(...raw))
    }
    return startApi({ http, dataDir: dir, source, routes, logger: this.#logger })
  }

  #clustered(): Cluster {
    if (this.#cluster !== undefined) return this.#cluster
    throw new LtxdError('NO_CLUSTER', 'this node is in no cluster: set lease.type, or name a Consul with --consul')
  }

  #unready(): string | undefined {
    if (this.#stopping !== undefined) return 'stopping'
    if (this.#config.cluster === undefined || this.#cluster?.role.isReady === true) return undefined
    return 'it neither leads nor has everything that the primary has'
  }

  #startPlane({ dir, root, nodeId }: DataDirectory): DataPlane {
    const plane = new DataPlane({
      dataDir: dir,
      root,
      nodeId,
      segmentSizeBytes: this.#config.data.segmentSizeBytes,
      filter: { databases: this.#config.fuse.databases, otherFiles: this.#config.fuse.otherFiles },
      latency: this.#config.fuse.latency,
      log: (level, message, fields) => this.#logger[level](fields, message),
      appeared: (database) => this.#backup?.appeared(database),
    })
    plane.ended.then(
      () => this.#stopping ?? this.#fail(this.#unmounted()),
      (error: unknown) => this.#fail(error),
    )
    return plane
  }

  #prepareCheckpoints({ dir: dataDir, root }: DataDirectory, plane: DataPlane): Checkpoints | undefined {
    const { mountDir } = this
    const config = this.#config
    const logger = this.#logger
    if (config.data.checkpoint === 'application') return undefined
    return new Checkpoints({ plane, mountDir, root, dataDir, logger })
  }

  #startKeeper({ dir, root }: DataDirectory, plane: DataPlane): LogKeeper {
    const keeper = new LogKeeper({
      dataDir: dir,
      root,
      databases: () => plane.databases.values(),
      retention: this.#config.data.retention,
      uploaded: (name) => this.#backup?.uploaded(name),
      logger: this.#logger,
      nowMs: Date.now,
      intervalMs: KEEPER_INTERVAL_MS,
    })
    keeper.start()
    return keeper
  }

  #prepareScrubber({ dir, root }: DataDirectory, plane: DataPlane): Scrubber {
    const scrubber = new Scrubber({
      root,
      bytesPerSecond: SCRUB_BYTES_PER_SECOND,
      logger: this.#logger,
      damaged: (database, pgno) => {
        const reason = damageFound(pgno, logDirectory(dir, database))
        this.#logger.error({ database }, `database not served: ${reason}`)
        plane.refuse(database, reason)
        doubt(nodeFiles, logDirectory(dir, database))
      },
    })
    for (const [database, proof] of plane.unproven) scrubber.add(database, proof)
    return scrubber
  }

  #describe(database: KnownDatabase, backup: BackupStatus | undefined): DatabaseStatus {
    const { name, rejection } = database
    const state = database.state()
    const log = this.#keeper?.logFacts(name)
    const checkpoint = this.#plane?.shared.leads === true ? this.#checkpoints?.status(name) : undefined
    const replication = this.#cluster?.role.replica?.replication(name)
    return {
      name,
      position: formatPosition(state.position),
      pageSize: state.pageSize,
      sizePages: state.sizePages,
      journalMode: state.journalMode,
      ...(log?.first !== undefined && { logFirstTXID: formatTXID(log.first) }),
      logBytes: log?.bytes ?? 0,
      commitCount: state.commits,
      ...(rejection !== undefined && { error: rejection }),
      ...(backup !== undefined && { backup }),
      ...(checkpoint && { checkpoint }),
      ...(replication && { replication }),
    }
  }

  /** Whoever has files open could go on, but nobody else finds them, and what is written where the mount was is lost to sight. */
  #lostItsName(): void {
    this.#detached = true
    if (this.#stopping === undefined) this.#fail(this.#unmounted())
  }

  /** The data plane is gone: applications get errors from here on, so nothing is gained by staying. */
  #fail(error: unknown): void {
    this.#end?.reject(error)
    void this.stop()
  }

  async #shutDown(): Promise<void> {
    await this.#cluster?.stop()
    await this.#api?.close()
    await this.#checkpoints?.stop()
    this.#mountWatch?.stop()
    if (this.#mounted !== undefined) await this.#leaveMount()
    // Both write down what is synced.
    await this.#scrubber?.stop()
    await this.#keeper?.stop()
    await this.#plane?.stop().catch((error: unknown) => this.#end?.reject(error))
    await this.#backup?.stop()
    await this.#mounted?.close()
    this.#data?.close()
    this.#end?.resolve()
  }

  /** From here on nothing is written on the mount. One that cannot be taken away from here ends when the device is closed. */
  async #leaveMount(): Promise<void> {
    const { mountDir } = this
    const logger = this.#logger
    const plane = this.#plane
    if (this.#handedOver !== undefined || this.#detached) {
      if (plane !== undefined) plane.shared.leads = false
      if (!this.#detached) logger.info({ mount: mountDir }, 'root made the mount and has to take it away: umount')
      return
    }
    plane?.releaseMount()
    const left = await unmount(mountDir, async () => plane?.keepReachable(mountDir))
    if (left === 'detached')
      logger.warn({ mount: mountDir }, 'files were still open: their owners get errors from now on')
  }

  #unmounted(): LtxdError {
    const why = this.#mounted?.end ?? `${this.mountDir} was unmounted by someone else`
    return new LtxdError('UNMOUNTED', `${why}: the node ends`)
  }
}
