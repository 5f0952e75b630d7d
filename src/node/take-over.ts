/**
 * Before a node leads, it applies the transactions that its predecessors shipped to the backup but never streamed: they
 * are part of the history.
 */

import pLimit from 'p-limit'
import { CorruptObjectError } from '../backup/history/errors.ts'
import { type BackupHistory, loadHistories } from '../backup/history/history.ts'
import { SNAPSHOT_LEVEL } from '../backup/history/layout.ts'
import { isOutage } from '../backup/history/outage.ts'
import type { Avoided } from '../backup/restore/way-round.ts'
import { type ApplyFile, executeTakeOver } from '../backup/ship/execute-take-over.ts'
import type { TakeOver } from '../backup/ship/take-over.ts'
import { gatherTakeOverFacts, namesMore, planTakeOver } from '../backup/ship/take-over.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { LogReader } from '../log/reader.ts'
import { createLog, listLogs, logDirectory } from '../log/store.ts'
import { LTXError } from '../ltx/format/errors.ts'
import { EMPTY_CHECKSUM, formatTXID } from '../ltx/format/types.ts'
import { StoreUnavailableError } from '../objectstore/errors.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { StoreRejectedError } from '../objectstore/s3/errors.ts'
import { PromptStore } from '../objectstore/stores/prompt-store.ts'
import { ReplicaError } from '../replica/database.ts'
import type { Replica } from '../replica/replica.ts'
import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import type { NodeBackup } from './node-backup.ts'
import type { TakenOver } from './taken-over.ts'
import { isMarkedWithheld, markWithheld } from './withheld-mark.ts'

export interface TakeOverContext {
  readonly backup: Pick<NodeBackup, 'store'>
  readonly plane: Pick<DataPlane, 'databases' | 'position'>
  /** Still active: it holds the locks for applying to the databases. */
  readonly replica: Pick<Replica, 'advance' | 'own' | 'setAside'>
  readonly data: DataDirectory
  /** The term of the last leader whose history this node has. */
  readonly localTerm: bigint
  /** That leader is the last one that may have committed. */
  readonly isLastLeaders: boolean
  /** The term in which this node is about to lead. */
  readonly term: bigint
  readonly logger: Logger
  readonly signal: AbortSignal
}

const AT_ONCE = 8

/**
 * When the backup does not answer, or rejects this node, only the last leader may lead without it (`ledHere`): no other
 * node can have shipped anything since. A node without any history never may, whatever it has led: what the backup has
 * would be missing on it, and what applications then write could never be shipped.
 */
export async function takeOverUnlessAway(context: TakeOverContext, ledHere: boolean): Promise<Found> {
  const { plane, data, localTerm, logger } = context
  try {
    return await takeOver(context)
  } catch (error) {
    const isRejected = error instanceof StoreRejectedError
    if (!isRejected && !(error instanceof StoreUnavailableError)) throw error
    if (!ledHere || listLogs(data.files, data.dir).length === 0 || isMarkedWithheld(data)) throw error
    const problem = isRejected ? 'rejects this node' : 'does not answer'
    logger.warn({ err: error }, `leading again without reading the backup, which ${problem}`)
    const here = Array.from(plane.databases.values())
    const takenOver = new Map(
      here.map(({ name, state }) => [name, { at: state().position.txid, isBackedUp: false, toCompare: localTerm }]),
    )
    return { takenOver, withheld: new Map() }
  }
}

/** What a node finds when it is about to lead. */
export interface Found {
  /** Where the new term begins, by database. */
  readonly takenOver: ReadonlyMap<string, TakenOver>
  /** Databases that must not be led, because what the backup may have of them could not be read; with the reasons. */
  readonly withheld: ReadonlyMap<string, string>
}

/** Several databases at once, all to their end. Throws LtxdError when this node must not lead any of them. */
export async function takeOver(context: TakeOverContext): Promise<Found> {
  const { backup, plane, data, localTerm, isLastLeaders, logger, signal } = context
  const store = new PromptStore(backup.store, signal)
  const histories = await loadHistories(store)
  const takenOver = new Map<string, TakenOver>()
  const withheld = new Map<string, string>()
  const failures: unknown[] = []
  const one = async (name: string) => {
    if (failures.length > 0) return
    signal.throwIfAborted()
    const history = histories.get(name) ?? { database: name, files: [], markers: [] }
    const { txid } = plane.position(name)
    if (isLastLeaders && !namesMore(history, txid)) {
      takenOver.set(name, { at: txid, isBackedUp: false, toCompare: localTerm })
      return
    }
    try {
      takenOver.set(name, await takeOverOne(context, store, history))
    } catch (err) {
      if (await concernsNode(err, store, histories, signal)) throw err
      logger.error(
        { database: name, err },
        'a database cannot be taken over: it is not led until its backup can be read',
      )
      withheld.set(name, errorMessage(err))
    }
  }
  const names = new Set([...plane.databases.keys(), ...histories.keys()])
  await pLimit(AT_ONCE).map(names, (name) => one(name).catch((error: unknown) => failures.push(error)))
  if (failures.length > 0) throw failures[0]
  markWithheld(data, [...withheld.keys()])
  return { takenOver, withheld }
}

/**
 * The lease has a later term, the local client has ended, a local process does not let go, or another node may know
 * better that a database was dropped: the node tries again.
 */
const OF_NODE = ['TERM_BEHIND', 'CLIENT_LOST', 'REPLICA_HELD_UP', 'TAKE_OVER_DROPPED']

/** Whether an error is none of one database's backup alone. */
async function concernsNode(
  error: unknown,
  store: ObjectStore,
  histories: ReadonlyMap<string, BackupHistory>,
  signal: AbortSignal,
): Promise<boolean> {
  const ofOne = error instanceof LtxdError || error instanceof LTXError
  if (!ofOne || signal.aborted || OF_NODE.includes(errorCode(error) ?? '')) return true
  return isOutage(store, histories.values(), error, signal)
}

function isBackedUp(plan: TakeOver): boolean {
  if (plan.kind === 'diverged') return plan.winner === 'backup'
  return ['equal', 'fast-forward', 'replace', 'dropped'].includes(plan.kind)
}

/** Brings one database to where its history ends. Throws LtxdError. */
export async function takeOverOne(
  context: Omit<TakeOverContext, 'backup' | 'isLastLeaders'>,
  store: ObjectStore,
  history: BackupHistory,
): Promise<TakenOver> {
  const { plane, replica, data, localTerm, term, logger, signal } = context
  const name = history.database
  const log = new LogReader(data.files, name, logDirectory(data.dir, name), () => plane.position(name))
  const facts = await gatherTakeOverFacts(store, log, localTerm, { history, signal })
  if (facts.backup.term >= term) {
    // A fixed primary that has led in this very term would choose it again.
    data.sawTerm(facts.backup.term === term ? term + 1n : facts.backup.term)
    throw new LtxdError(
      'TERM_BEHIND',
      `${store.url} was written in term ${facts.backup.term}, above this node's term ${term}: the node acquires the lease again with a higher term`,
    )
  }
  const plan = planTakeOver(facts)
  const from = formatTXID(facts.local.txid)
  switch (plan.kind) {
    case 'dropped':
      if (facts.local.txid === 0n) {
        // A database of the name that is made from now on continues the history, which this node never had.
        createLog(data.files, logDirectory(data.dir, name), { txid: plan.takenOverAt, checksum: EMPTY_CHECKSUM })
        break
      }
      throw new LtxdError(
        'TAKE_OVER_DROPPED',
        `database ${name} was dropped with transaction ${formatTXID(plan.takenOverAt)} according to ${store.url}, and this node ` +
          'lacks that transaction: start it with an empty data directory, or let another node lead first',
      )
    case 'fast-forward':
    case 'replace':
      logger.warn(
        { database: name, txid: from, backupTXID: formatTXID(plan.takenOverAt) },
        'the backup is ahead: applying its transactions before leading',
      )
      break
    case 'diverged':
      logger.error(
        { database: name, reason: plan.detail, winner: plan.winner },
        'the history of this node diverges from the backup',
      )
      if (plan.winner === 'backup') await replica.setAside(name, plan.detail, undefined)
      break
    default:
  }
  if (plan.kind === 'unknown') throw notKnown(name, plan.detail)
  const apply: ApplyFile = async (file, bytes, { postApplyChecksum: checksum, timestampMs, owner }) => {
    if (owner !== undefined) await replica.own(name, owner)
    const position = checksum === undefined ? undefined : { txid: file.max, checksum }
    const to = { whole: file.level === SNAPSHOT_LEVEL, position, timestampMs }
    await replica.advance(name, bytes, to, signal).catch((error: unknown) => {
      if (!isWrongContent(error)) throw error
      throw new CorruptObjectError(store.url, file.key, error.message, { conclusive: false, cause: error })
    })
  }
  const onAvoided = ({ key, problem }: Avoided) =>
    logger.warn({ database: name, url: store.url, key, problem }, 'taking over without a damaged object of the backup')
  await executeTakeOver(store, facts, plan, apply, { signal, onAvoided })
  return { at: plan.takenOverAt, isBackedUp: isBackedUp(plan) }
}

/** The local client applied the file, and the result was not what the backup says. */
function isWrongContent(error: unknown): error is ReplicaError {
  return error instanceof ReplicaError && ['APPLY_DIVERGED', 'APPLY_INVALID'].includes(error.code)
}

function notKnown(name: string, detail: string): LtxdError {
  return new LtxdError(
    'BACKUP_UNRELATED',
    `database ${name} and its backup cannot be compared (${detail}), so this node does not lead it: ` +
      'start it with an empty data directory to restore the backup',
  )
}
