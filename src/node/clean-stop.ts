/** The last log line of a node that stopped cleanly: what is safe, and where. After `kill -9` there is none. */

import type { DataPlane } from '../dataplane/dataplane.ts'
import { formatTXID, type TXID } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import { redactUrl } from '../util/redact.ts'
import type { NodeBackup } from './node-backup.ts'

export interface CleanStop {
  /** The directory with the database files. */
  readonly root: string
  readonly databases: readonly StoppedDatabase[]
  /** Absent for a node without a backup. */
  readonly backupUrl?: string | undefined
  /** Absent for a node without peers. */
  readonly cluster?: StoppedInCluster | undefined
}

export interface StoppedInCluster {
  readonly role: 'primary' | 'replica' | 'idle'
  /** Of the primary that this node followed. */
  readonly primary?: string | undefined
  /** The replica that had every transaction when this node released the lease. */
  readonly successor?: string | undefined
}

export interface StoppedDatabase {
  readonly name: string
  readonly txid: TXID
  /** Rejected by recovery or found damaged: its file is not a usable database. */
  readonly isRejected: boolean
  /** The last transaction that this node knows to be in the backup. */
  readonly backedUp: TXID
}

/** A node's parts, as they are after its stop. */
type StoppedNode = Omit<CleanStop, 'databases'> & {
  readonly plane: DataPlane | undefined
  readonly backup: NodeBackup | undefined
}

/** `isSafe`: others are known to have everything of this node. Throws LtxdError where it may have more than others. */
export function lastWords(node: StoppedNode, isSafe: boolean): string {
  const stop = cleanStopOf(node)
  const error = isSafe ? undefined : notShipped(stop)
  if (error !== undefined) throw error
  return describeCleanStop(stop)
}

function cleanStopOf({ plane, backup, ...known }: StoppedNode): CleanStop {
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

function elsewhereInCluster({ role, primary, successor }: StoppedInCluster): string | undefined {
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

/**
 * The error of a node that stopped with transactions that, as far as it knows, neither the backup nor a node that will
 * ship them has. undefined when there are none.
 */
export function notShipped({ root, databases, backupUrl, cluster }: CleanStop): LtxdError | undefined {
  if (backupUrl === undefined) return undefined
  const leads = cluster === undefined || cluster.role === 'primary'
  const lacking = databases.filter((database) => !database.isRejected && isLacking(database, leads))
  if (lacking.length === 0) return undefined
  const list = lacking.map(({ name, txid, backedUp }) => {
    return leads && backedUp > 0n
      ? `${name} after transaction ${formatTXID(backedUp)}`
      : `${name} up to ${formatTXID(txid)}`
  })
  const url = redactUrl(backupUrl)
  const what = leads ? `the backup ${url} lacks` : `no primary could be told, and the backup ${url} may lack`
  return new LtxdError(
    'NOT_SHIPPED',
    `stopped, but ${what} transactions of this node: ${shorten(list)}. They are in ${root} and the log beside it: ` +
      'start this node again with the same data directory, and it or its primary ships them',
  )
}

function isLacking({ txid, backedUp }: StoppedDatabase, leads: boolean): boolean {
  return leads ? backedUp < txid : txid > 0n
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
