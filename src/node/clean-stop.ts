/** The last log line of a node that stopped cleanly: what is safe, and where. After `kill -9` there is none. */

import type { DataPlane } from '../dataplane/dataplane.ts'
import { formatTXID, type TXID } from '../ltx/format/types.ts'
import { redactUrl } from '../util/redact.ts'
import type { NodeBackup } from './node-backup.ts'

export interface CleanStop {
  /** The directory with the database files. */
  readonly root: string
  readonly databases: readonly StoppedDatabase[]
  /** Absent for a node without a backup. */
  readonly backupUrl?: string | undefined
  /** Absent for a node without peers. */
  readonly cluster?:
    | undefined
    | {
        readonly role: 'primary' | 'replica' | 'idle'
        /** Of the primary that this node followed. */
        readonly primary?: string | undefined
        /** The replica that had every transaction when this node released the lease. */
        readonly successor?: string | undefined
      }
}

export interface StoppedDatabase {
  readonly name: string
  readonly txid: TXID
  /** Rejected by recovery or found damaged: its file is not a usable database. */
  readonly isRejected: boolean
  /** The last transaction that this node knows to be in the backup. */
  readonly backedUp: TXID
}

/** Of a node's parts, as they are after its stop. */
export function cleanStopOf({
  plane,
  backup,
  ...known
}: Omit<CleanStop, 'databases'> & {
  readonly plane: DataPlane | undefined
  readonly backup: NodeBackup | undefined
}): CleanStop {
  const databases = Array.from(plane?.databases.values() ?? [])
    .filter(({ rejection, state }) => rejection !== undefined || state().tracked)
    .map(({ name, rejection, state }) => {
      const { txid } = state().position
      return { name, txid, isRejected: rejection !== undefined, backedUp: backup?.lastUploaded(name) ?? txid }
    })
  return { ...known, databases }
}

export function describeCleanStop({ root, databases, backupUrl, cluster }: CleanStop): string {
  const usable = databases.filter(({ isRejected }) => !isRejected)
  const rejected = databases.filter(({ isRejected }) => isRejected)
  const files =
    usable.length === 0
      ? `there are no databases in ${root}`
      : `${count(usable.length, 'database is a plain SQLite file', 'databases are plain SQLite files')} in ${root}`
  const damage = rejected.length === 0 ? '' : ` (rejected, so not usable as they are: ${names(rejected)})`
  const elsewhere = cluster === undefined ? undefined : elsewhereInCluster(cluster)
  const backup = cluster === undefined || cluster.role === 'primary' ? backupState(usable, backupUrl) : undefined
  return ['stopped cleanly: ' + files + damage, elsewhere, backup].filter((part) => part !== undefined).join('; ')
}

function elsewhereInCluster({ role, primary, successor }: NonNullable<CleanStop['cluster']>): string | undefined {
  if (role === 'replica') return `this node was a replica of ${primary ?? 'a primary'}, which has everything to ship`
  if (role === 'idle') return 'this node followed no primary'
  return successor === undefined ? 'no replica is known to have everything' : `replica ${successor} has everything`
}

function backupState(databases: readonly StoppedDatabase[], url: string | undefined): string {
  if (url === undefined) return 'there is no backup'
  const lacking = databases.filter(({ txid, backedUp }) => backedUp < txid)
  if (lacking.length === 0) return `the backup ${redactUrl(url)} has everything up to now`
  const list = lacking.map(({ name, backedUp }) => {
    return backedUp === 0n ? `all of ${name}` : `${name} after transaction ${formatTXID(backedUp)}`
  })
  return `the backup ${redactUrl(url)} lacks ${shorten(list)}`
}

function names(databases: readonly StoppedDatabase[]): string {
  return shorten(databases.map(({ name }) => name))
}

const MAX_LISTED = 10

function shorten(list: readonly string[]): string {
  const more = list.length - MAX_LISTED
  return list.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function count(n: number, one: string, several: string): string {
  return `${n} ${n === 1 ? one : several}`
}
