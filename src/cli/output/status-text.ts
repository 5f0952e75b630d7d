/** A node's status as text. */

import type {
  BackupStatus,
  ClusterStatus,
  DatabaseStatus,
  NodeStatus,
  ReplicaStatus,
  UnreplicatedStatus,
} from '../../api/status.ts'
import { describeDuration, formatSize } from '../../util/units.ts'
import { type Column, formatTable, printable } from './output.ts'

interface DatabaseColumn extends Column {
  readonly cell: (database: DatabaseStatus) => string
}

const DATABASE_COLUMNS: readonly DatabaseColumn[] = [
  { title: 'DATABASE', cell: ({ name }) => name },
  { title: 'POSITION', cell: ({ position }) => position },
  {
    title: 'JOURNAL',
    cell: journalCell,
  },
  { title: 'SIZE', align: 'right', cell: ({ sizePages, pageSize }) => formatSize(sizePages * pageSize) },
  { title: 'LOG', align: 'right', cell: ({ logBytes }) => formatSize(logBytes) },
]
const REPLICATION_COLUMN: DatabaseColumn = { title: 'REPLICATION', cell: replicationCell }
const BACKUP_COLUMN: DatabaseColumn = { title: 'BACKUP', cell: backupCell }

const REPLICA_COLUMNS: readonly Column[] = [
  { title: 'REPLICA' },
  { title: 'NODE' },
  { title: 'BEHIND', align: 'right' },
  { title: 'CONNECTED' },
]

/** Of databases that are not replicated. */
const MAX_NAMES = 10

/** `nowMs` is the current time on the clock of the times in `status`. */
export function formatStatus(status: NodeStatus, nowMs: number): string {
  const { cluster, databases } = status
  const up = describeDuration(wholeSeconds(nowMs - status.startedAtMs))
  const lines = [
    ['node', `${status.nodeId}, ${status.role}, up ${up}, pid ${status.pid}, ltxd ${status.version}`],
    ...(cluster === undefined ? [] : clusterLines(cluster, status.role, nowMs)),
    ['mount', status.mount.dir],
    ['data', status.data.dir],
    ['backup', status.backup?.url ?? 'none'],
  ]
  const head = lines.map(([name = '', value = '']) => `${name.padEnd(8)}${printable(value)}\n`).join('')
  const tables = [databases.length === 0 ? 'no databases yet\n' : databaseTable(databases)]
  if (cluster !== undefined && status.role === 'primary') {
    tables.unshift(cluster.replicas.length === 0 ? 'no replicas connected\n' : replicaTable(cluster.replicas, nowMs))
  }
  if (status.unreplicated !== undefined) tables.push(unreplicatedText(status.unreplicated))
  return [head, ...tables].join('\n')
}

function unreplicatedText({ count, names }: UnreplicatedStatus): string {
  const shown = names.slice(0, MAX_NAMES).map((name) => `  ${printable(name)}\n`)
  const more = count > shown.length ? `  and ${count - shown.length} more\n` : ''
  const subject = count === 1 ? '1 database is' : `${count} databases are`
  return `${subject} not replicated and not backed up (encrypted, and not in WAL mode):\n${shown.join('')}${more}`
}

function clusterLines(cluster: ClusterStatus, role: NodeStatus['role'], nowMs: number): string[][] {
  const { type, id, term, candidate, primary, leaseRemainingMs, lastError } = cluster
  const eligibility = candidate ? 'candidate' : 'not a candidate'
  const lines = [['cluster', [...(id === undefined ? [] : [id]), type, `term ${term}`, eligibility].join(', ')]]
  if (role === 'replica' && primary !== undefined) {
    lines.push(['primary', `${primary.hostname} (${primary.nodeId}) at ${primary.url}, ${connection(cluster, nowMs)}`])
  }
  if (role === 'idle') lines.push(['primary', 'unknown: databases can be read but not written'])
  if (leaseRemainingMs !== undefined) {
    lines.push(['lease', leaseRemainingMs > 0 ? `expires in ${tenths(leaseRemainingMs)} unless renewed` : 'expired'])
  }
  if (lastError !== undefined) lines.push(['problem', lastError])
  return lines
}

function connection({ connected, disconnectedAtMs, disconnectedReason, lagMs }: ClusterStatus, nowMs: number): string {
  if (connected === false) {
    const since =
      disconnectedAtMs === undefined ? '' : ` for ${describeDuration(wholeSeconds(nowMs - disconnectedAtMs))}`
    return `not connected${since}${disconnectedReason === undefined ? '' : `: ${disconnectedReason}`}`
  }
  return lagMs === undefined ? 'connected' : `connected, ${describeDuration(lagMs)} behind`
}

function databaseTable(databases: readonly DatabaseStatus[]): string {
  const replicated = databases.some(({ replication }) => replication !== undefined)
  const columns = [...DATABASE_COLUMNS, ...(replicated ? [REPLICATION_COLUMN] : []), BACKUP_COLUMN]
  const rows = databases.map((database) => columns.map(({ cell }) => cell(database)))
  return formatTable(columns, rows)
}

function replicaTable(replicas: readonly ReplicaStatus[], nowMs: number): string {
  const rows = replicas.map(({ hostname, nodeId, behind, connectedAtMs }) => [
    hostname,
    nodeId,
    behind === 0 ? '0' : `${behind} transaction${behind === 1 ? '' : 's'}`,
    `for ${describeDuration(wholeSeconds(nowMs - connectedAtMs))}`,
  ])
  return formatTable(REPLICA_COLUMNS, rows)
}

function replicationCell({ replication }: DatabaseStatus): string {
  if (replication === undefined) return '-'
  const { state, behind = 0, reason } = replication
  const count = behind > 0 ? `, ${behind} behind` : ''
  return `${state}${count}${reason === undefined ? '' : `: ${reason}`}`
}

function journalCell({ error, failure, journalMode, encrypted }: DatabaseStatus): string {
  if (error !== undefined) return `not served: ${error}`
  if (failure !== undefined) return `failing: ${failure}`
  return encrypted === true ? `${journalMode}, encrypted` : journalMode
}

function backupCell({ backup, position }: DatabaseStatus): string {
  if (backup === undefined) return '-'
  const state = position.startsWith(`${backup.txid}/`) ? 'up to date' : `${describeDuration(backup.lagMs)} behind`
  const failing = backup.lastError === undefined ? [] : [`failing: ${backup.lastError}`]
  const problem = backup.problem === undefined ? [] : [`problem: ${backup.problem}`]
  return [state, verification(backup), ...failing, ...problem].join(', ')
}

function verification({ restorable, unverifiedMs }: BackupStatus): string {
  if (restorable === undefined || unverifiedMs === undefined) return 'not verified yet'
  return `verified ${describeDuration(wholeSeconds(unverifiedMs))} ago`
}

/** Whole seconds, never negative: the clocks of two machines may differ. */
function wholeSeconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1000) * 1000)
}

function tenths(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
