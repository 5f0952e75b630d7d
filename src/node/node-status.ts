/** The node's status, assembled from its parts: `GET /status`, `GET /ready`. */

import type { BackupStatus, DatabaseStatus, NodeStatus, UnreplicatedStatus } from '../api/status.ts'
import type { Config } from '../config/config.ts'
import { formatNodeId } from '../data/directory.ts'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { NO_STATE } from '../dataplane/shared-slot.ts'
import { formatPosition, formatTXID } from '../ltx/format/types.ts'
import { VERSION } from '../util/version.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { Cluster } from './cluster.ts'
import type { LogMaintenance } from './log-maintenance.ts'
import type { NodeBackup } from './node-backup.ts'

const MAX_NAMES = 100
const NAMES_IN_REASON = 3

/** The parts of a node. Those that have not started yet are absent. */
export interface NodeParts {
  readonly config: Config
  readonly mountDir: string
  readonly startedAtMs: number
  readonly nodeId: bigint
  readonly plane: DataPlane | undefined
  readonly logs: LogMaintenance | undefined
  readonly backup: NodeBackup | undefined
  readonly checkpoints: Checkpoints | undefined
  readonly cluster: Cluster | undefined
}

export function nodeStatus(parts: NodeParts): NodeStatus {
  const { config, mountDir, startedAtMs, nodeId, plane, backup, cluster } = parts
  const backups = backup?.status()
  const unreplicated = unreplicatedStatus(plane)
  return {
    version: VERSION,
    nodeId: formatNodeId(nodeId),
    pid: process.pid,
    startedAtMs,
    role: config.cluster === undefined ? 'primary' : (cluster?.nodeRole ?? 'idle'),
    ...(cluster && { cluster: cluster.status() }),
    mount: { dir: mountDir, requests: plane?.shared.requests.byName() ?? {} },
    data: { dir: config.data.dir },
    ...(config.backup && { backup: { url: config.backup.url } }),
    databases: databasesOf(plane).map((database) => databaseStatus(parts, database, backups?.get(database.name))),
    ...(unreplicated && { unreplicated }),
  }
}

/** Those that exist, and those that are withheld, of which nothing may be here. */
function databasesOf(plane: DataPlane | undefined): KnownDatabase[] {
  if (plane === undefined) return []
  const { reasons } = plane.withheld
  const known = Array.from(plane.databases.values(), ({ name, rejection, state }) => {
    return { name, rejection: rejection ?? reasons.get(name), state }
  })
  const absent = Array.from(reasons).filter(([name]) => !plane.databases.has(name))
  return [
    ...known.filter(({ rejection, state }) => rejection !== undefined || state().tracked),
    ...absent.map(([name, rejection]) => ({ name, rejection, state: () => NO_STATE })),
  ]
}

/** Why databases are not served, or not led, by their names. */
export function unserved(plane: DataPlane | undefined): Record<string, string> {
  const reasons = new Map(plane?.withheld.reasons)
  for (const { name, rejection } of plane?.databases.values() ?? []) {
    if (rejection !== undefined) reasons.set(name, rejection)
  }
  return Object.fromEntries(Array.from(reasons).sort().slice(0, MAX_NAMES))
}

/** Why the node cannot serve current data, or is not ready by the configuration; undefined when it is. */
export function unready(parts: NodeParts): string | undefined {
  return (
    parts.cluster?.mismatch ??
    withoutCurrentData(parts) ??
    failureReason(parts) ??
    (parts.config.ready.unreplicated === 'fail' ? unreplicatedReason(parts) : undefined) ??
    (parts.config.ready.backup === 'fail' ? backupReason(parts) : undefined)
  )
}

/** A database whose transactions are not applied, whatever the reason, serves old data, or none. */
function failureReason(parts: NodeParts): string | undefined {
  const { plane, cluster } = parts
  for (const name of plane?.databases.keys() ?? []) {
    const failure = failureOf(parts, name)
    if (failure !== undefined) return `database ${name} fails: ${failure}`
    const { state, reason } = cluster?.role.replica?.replication(name) ?? {}
    if (state === 'resyncing') return `database ${name} waits for a snapshot: ${reason ?? ''}`
  }
  return undefined
}

/** Why its transactions cannot be applied or logged at the moment. */
function failureOf({ plane, cluster }: NodeParts, name: string): string | undefined {
  return plane?.failedLogs.get(name) ?? cluster?.role.replica?.failure(name)
}

function backupReason({ backup }: NodeParts): string | undefined {
  for (const [name, { problem }] of backup?.status() ?? []) {
    if (problem !== undefined) return `the backup of database ${name}: ${problem}`
  }
  return undefined
}

function unreplicatedReason({ plane }: NodeParts): string | undefined {
  const unreplicated = unreplicatedStatus(plane)
  if (unreplicated === undefined) return undefined
  const { count, names } = unreplicated
  const more = count > NAMES_IN_REASON ? ` and ${count - NAMES_IN_REASON} more` : ''
  return `not replicated, probably encrypted: ${names.slice(0, NAMES_IN_REASON).join(', ')}${more}`
}

function unreplicatedStatus(plane: DataPlane | undefined): UnreplicatedStatus | undefined {
  const names = Array.from(plane?.unreplicated ?? [])
  if (names.length === 0) return undefined
  return { count: names.length, names: names.sort().slice(0, MAX_NAMES) }
}

function withoutCurrentData({ config, cluster, plane }: NodeParts): string | undefined {
  if (config.cluster === undefined || cluster?.role.isReady === true) return undefined
  const status = cluster?.status()
  if (status?.primary === undefined || cluster?.nodeRole !== 'replica') {
    const why = status?.lastError === undefined ? '' : `: ${status.lastError}`
    return `no primary is known yet${why}`
  }
  const names = Array.from(plane?.databases.keys() ?? [])
  const behind = names.reduce((sum, name) => sum + (cluster.role.replica?.replication(name)?.behind ?? 0), 0)
  const transactions = behind === 1 ? '1 transaction' : `${behind} transactions`
  const progress = status.connected !== true ? 'not connected' : behind > 0 ? `${transactions} behind` : 'catching up'
  return `replica of ${status.primary.hostname}, ${progress}`
}

function databaseStatus(parts: NodeParts, database: KnownDatabase, backup: BackupStatus | undefined): DatabaseStatus {
  const { plane, logs, checkpoints, cluster } = parts
  const { name, rejection } = database
  const state = database.state()
  const log = logs?.logFacts(name)
  const checkpoint = plane?.shared.leads === true ? checkpoints?.status(name) : undefined
  const replication = cluster?.role.replica?.replication(name)
  const failure = failureOf(parts, name)
  const commitIntervalMs = cluster?.role.server.intervalsMs.get(name)
  return {
    name,
    position: formatPosition(state.position),
    pageSize: state.pageSize,
    sizePages: state.sizePages,
    journalMode: state.journalMode,
    ...(state.encrypted && { encrypted: true }),
    ...(log?.first !== undefined && { logFirstTXID: formatTXID(log.first) }),
    logBytes: log?.bytes ?? 0,
    commitCount: state.commits,
    ...(commitIntervalMs !== undefined && { commitIntervalMs }),
    ...(rejection !== undefined && { error: rejection }),
    ...(failure !== undefined && { failure }),
    ...(backup !== undefined && { backup }),
    ...(checkpoint && { checkpoint }),
    ...(replication && { replication }),
  }
}
