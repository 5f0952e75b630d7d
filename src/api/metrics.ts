import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { ClusterStatus, DatabaseStatus, NodeStatus } from './status.ts'

/** A metric with one value for each database. */
interface DatabaseMetric {
  readonly name: string
  readonly help: string
  readonly value: (database: DatabaseStatus) => number | undefined
}

const DATABASE_GAUGES: readonly DatabaseMetric[] = [
  { name: 'up', help: '1 while the database is served.', value: (db) => (db.error === undefined ? 1 : 0) },
  { name: 'txid', help: 'Last transaction.', value: (db) => Number(BigInt(`0x${db.position.split('/')[0] ?? '0'}`)) },
  { name: 'size_bytes', help: 'Size of the database.', value: (db) => db.sizePages * db.pageSize },
  { name: 'log_bytes', help: 'Size of the LTX log.', value: (db) => db.logBytes },
  { name: 'wal_bytes', help: 'Length of the WAL.', value: (db) => db.checkpoint?.walBytes },
  {
    name: 'wal_frames_left',
    help: 'Frames that the last checkpoint by this node left in the WAL, because of readers or writers.',
    value: (db) => db.checkpoint?.left,
  },
  {
    name: 'checkpoint_guarded',
    help: '1 while several connections have the database open, so that this node alone checkpoints it.',
    value: (db) => db.checkpoint && (db.checkpoint.isGuarded ? 1 : 0),
  },
  {
    name: 'commit_interval_seconds',
    help: 'Commits come at most one in so many seconds, because of stream.max-lag. Absent: as they come.',
    value: (db) => db.commitIntervalMs && db.commitIntervalMs / 1000,
  },
  {
    name: 'checkpoint_last_seconds',
    help: 'How long the last checkpoint by this node took.',
    value: (db) => db.checkpoint && db.checkpoint.lastMs / 1000,
  },
  {
    name: 'backup_txid',
    help: 'Last transaction in the backup.',
    value: (db) => db.backup && Number(`0x${db.backup.txid}`),
  },
  {
    name: 'backup_lag_seconds',
    help: 'Age of the oldest transaction that is not in the backup.',
    value: (db) => db.backup && db.backup.lagMs / 1000,
  },
  {
    name: 'backup_failing',
    help: '1 after an attempt to write to the backup failed, until one succeeds.',
    value: (db) => db.backup && (db.backup.lastError === undefined ? 0 : 1),
  },
  {
    name: 'backup_problem',
    help: '1 while the backup is damaged and not healed yet, or its compaction, snapshots, retention or listings fail.',
    value: (db) => db.backup && (db.backup.problem === undefined ? 0 : 1),
  },
  {
    name: 'backup_unverified_seconds',
    help:
      'Time since the newest state was last found to be restorable from what the backup lists, ' +
      'or since this node ships the database.',
    value: (db) => (db.backup?.unverifiedMs !== undefined ? db.backup.unverifiedMs / 1000 : undefined),
  },
  {
    name: 'backup_restorable_since_seconds',
    help: 'Unix time of the oldest state that could be restored then.',
    value: (db) => (db.backup?.restorable?.sinceMs !== undefined ? db.backup.restorable.sinceMs / 1000 : undefined),
  },
]

/** Counted since the node started. */
const DATABASE_COUNTERS: readonly DatabaseMetric[] = [
  { name: 'commit_count', help: 'Transactions captured since the start.', value: (db) => db.commitCount },
  {
    name: 'checkpoint_count',
    help: 'Checkpoints made by this node since the start.',
    value: (db) => db.checkpoint?.count,
  },
  {
    name: 'checkpoint_seconds_total',
    help: 'Total duration of the checkpoints made by this node.',
    value: (db) => db.checkpoint && db.checkpoint.totalMs / 1000,
  },
  {
    name: 'wal_guard_alarms_total',
    help:
      'Times that committed pages were about to be lost between the WAL and the database file, ' +
      'or that a write to the WAL could not be followed and was rejected.',
    value: (db) => db.checkpoint?.alarms,
  },
]

/** A metric with one value for a node in a cluster. */
interface ClusterMetric {
  readonly name: string
  readonly help: string
  readonly value: (cluster: ClusterStatus, role: NodeStatus['role']) => number | undefined
}

const CLUSTER_GAUGES: readonly ClusterMetric[] = [
  { name: 'term', help: 'Highest term of the lease that this node knows of.', value: ({ term }) => Number(term) },
  {
    name: 'lag_seconds',
    help: 'How far this node is behind its primary; 0 on the primary.',
    value: ({ lagMs }, role) => (role === 'primary' ? 0 : lagMs === undefined ? undefined : lagMs / 1000),
  },
  {
    name: 'connected',
    help: '1 while this replica is connected to its primary.',
    value: ({ connected }) => (connected === undefined ? undefined : Number(connected)),
  },
  {
    name: 'disconnected_seconds',
    help: 'How long this replica has not heard its primary; 0 while it is connected.',
    value: ({ connected, disconnectedAtMs: at }) =>
      connected === undefined ? undefined : at === undefined ? 0 : Math.max(0, Date.now() - at) / 1000,
  },
  { name: 'replicas', help: 'Replicas connected to this node.', value: ({ replicas }) => replicas.length },
  {
    name: 'lease_remaining_seconds',
    help: 'Time until the lease of this node expires unless it is renewed.',
    value: ({ leaseRemainingMs }) => leaseRemainingMs && leaseRemainingMs / 1000,
  },
]

/** Prometheus metrics of a node, computed from its status at each scrape. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #info: Gauge
  readonly #isPrimary: Gauge
  readonly #databaseCount: Gauge
  readonly #unreplicated: Gauge
  readonly #failing: Gauge
  readonly #requests: Counter
  readonly #counters: readonly { metric: DatabaseMetric; counter: Counter }[]
  readonly #gauges: readonly { metric: DatabaseMetric; gauge: Gauge }[]
  readonly #clusterGauges: readonly { metric: ClusterMetric; gauge: Gauge }[]
  readonly #replicaBehind: Gauge

  constructor() {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    const info = { name: 'ltxd_info', help: 'Always 1.', labelNames: ['version', 'node_id'], registers }
    this.#info = new Gauge(info)
    this.#isPrimary = new Gauge({ name: 'ltxd_is_primary', help: '1 while this node may write.', registers })
    this.#databaseCount = new Gauge({ name: 'ltxd_db_count', help: 'Databases on this node.', registers })
    this.#unreplicated = new Gauge({
      name: 'ltxd_unreplicated_databases',
      help: 'Databases that are served and not replicated, because they are encrypted and not in WAL mode.',
      registers,
    })
    this.#failing = new Gauge({
      name: 'ltxd_failing_databases',
      help: 'Databases whose transactions cannot be logged or applied, because a disk is full or fails.',
      registers,
    })
    const requests = { name: 'ltxd_mount_requests_total', help: 'FUSE requests from the kernel, by operation.' }
    this.#requests = new Counter({ ...requests, labelNames: ['operation'], registers })
    this.#counters = DATABASE_COUNTERS.map((metric) => {
      const counter = new Counter({ name: `ltxd_db_${metric.name}`, help: metric.help, labelNames: ['db'], registers })
      return { metric, counter }
    })
    this.#gauges = DATABASE_GAUGES.map((metric) => {
      const gauge = new Gauge({ name: `ltxd_db_${metric.name}`, help: metric.help, labelNames: ['db'], registers })
      return { metric, gauge }
    })
    this.#clusterGauges = CLUSTER_GAUGES.map((metric) => {
      return { metric, gauge: new Gauge({ name: `ltxd_${metric.name}`, help: metric.help, registers }) }
    })
    const behind = { name: 'ltxd_replica_behind_transactions', help: 'Transactions that a replica has yet to apply.' }
    this.#replicaBehind = new Gauge({ ...behind, labelNames: ['node'], registers })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The body of the response to a scrape. */
  async render(status: NodeStatus): Promise<string> {
    this.#info.set({ version: status.version, node_id: status.nodeId }, 1)
    this.#isPrimary.set(status.role === 'primary' ? 1 : 0)
    this.#databaseCount.set(status.databases.length)
    this.#unreplicated.set(status.unreplicated?.count ?? 0)
    this.#failing.set(status.databases.filter(({ failure }) => failure !== undefined).length)
    this.#requests.reset()
    for (const [operation, count] of Object.entries(status.mount.requests)) this.#requests.inc({ operation }, count)
    for (const { counter } of this.#counters) counter.reset()
    for (const { gauge } of this.#gauges) gauge.reset()
    for (const database of status.databases) {
      for (const { metric, counter } of this.#counters) {
        const value = metric.value(database)
        if (value !== undefined) counter.inc({ db: database.name }, value)
      }
      for (const { metric, gauge } of this.#gauges) {
        const value = metric.value(database)
        if (value !== undefined) gauge.set({ db: database.name }, value)
      }
    }
    this.#setCluster(status)
    return this.#registry.metrics()
  }

  /** A metric without a value has no sample, instead of a sample of 0. */
  #setCluster({ cluster, role }: NodeStatus): void {
    for (const { metric, gauge } of this.#clusterGauges) {
      const value = cluster && metric.value(cluster, role)
      if (value === undefined) gauge.remove()
      else gauge.set(value)
    }
    this.#replicaBehind.reset()
    for (const { nodeId, behind } of cluster?.replicas ?? []) this.#replicaBehind.set({ node: nodeId }, behind)
  }
}
