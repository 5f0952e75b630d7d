/**
 * Before a node leads, it applies the transactions that its predecessors shipped to the backup but never streamed: they
 * are part of the history.
 */

import pLimit from 'p-limit'
import { type BackupHistory, loadHistories } from '../backup/history/history.ts'
import type { FileRef } from '../backup/history/layout.ts'
import { SNAPSHOT_LEVEL } from '../backup/history/layout.ts'
import type { FileDetails, TakeOver } from '../backup/ship/take-over.ts'
import { executeTakeOver, gatherTakeOverFacts, namesMore, planTakeOver } from '../backup/ship/take-over.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { LogReader } from '../log/reader.ts'
import { createLog, listLogs, logDirectory } from '../log/store.ts'
import { EMPTY_CHECKSUM, formatTXID } from '../ltx/format/types.ts'
import { StoreUnavailableError } from '../objectstore/errors.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { StoreRejectedError } from '../objectstore/s3/errors.ts'
import { PromptStore } from '../objectstore/stores/prompt-store.ts'
import type { Replica } from '../replica/replica.ts'
import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import type { NodeBackup } from './node-backup.ts'
import type { TakenOver } from './taken-over.ts'

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
export async function takeOverUnlessAway(
  context: TakeOverContext,
  ledHere: boolean,
): Promise<ReadonlyMap<string, TakenOver>> {
  const { plane, data, localTerm, logger } = context
  try {
    return await takeOver(context)
  } catch (error) {
    const isRejected = error instanceof StoreRejectedError
    if (!isRejected && !(error instanceof StoreUnavailableError)) throw error
    if (!ledHere || listLogs(data.files, data.dir).length === 0) throw error
    const problem = isRejected ? 'rejects this node' : 'does not answer'
    logger.warn({ err: error }, `leading again without reading the backup, which ${problem}`)
    const here = Array.from(plane.databases.values())
    return new Map(
      here.map(({ name, state }) => [name, { at: state().position.txid, isBackedUp: false, toCompare: localTerm }]),
    )
  }
}

/** Several databases at once, all to their end. Throws LtxdError when this node must not lead. */
export async function takeOver(context: TakeOverContext): Promise<Map<string, TakenOver>> {
  const { backup, plane, localTerm, isLastLeaders, signal } = context
  const store = new PromptStore(backup.store, signal)
  const histories = await loadHistories(store)
  const takenOver = new Map<string, TakenOver>()
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
    const plan = await takeOverOne(context, store, history)
    if (plan.kind === 'unknown') throw notKnown(name, plan.detail)
    takenOver.set(name, { at: plan.takenOverAt, isBackedUp: isBackedUp(plan) })
  }
  const names = new Set([...plane.databases.keys(), ...histories.keys()])
  await pLimit(AT_ONCE).map(names, (name) => one(name).catch((error: unknown) => failures.push(error)))
  if (failures.length > 0) throw failures[0]
  return takenOver
}

function isBackedUp(plan: TakeOver): boolean {
  if (plan.kind === 'diverged') return plan.winner === 'backup'
  return ['equal', 'fast-forward', 'replace', 'dropped'].includes(plan.kind)
}

async function takeOverOne(context: TakeOverContext, store: ObjectStore, history: BackupHistory): Promise<TakeOver> {
  const { plane, replica, data, localTerm, term, logger, signal } = context
  const name = history.database
  const log = new LogReader(name, logDirectory(data.dir, name), () => plane.position(name))
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
  const apply = async (file: FileRef, bytes: AsyncIterable<Uint8Array>, about: FileDetails) => {
    const { postApplyChecksum: checksum, timestampMs, owner } = about
    if (owner !== undefined) await replica.own(name, owner)
    const position = checksum === undefined ? undefined : { txid: file.max, checksum }
    await replica.advance(name, bytes, { whole: file.level === SNAPSHOT_LEVEL, position, timestampMs })
  }
  await executeTakeOver(store, facts, plan, apply, signal)
  return plan
}

function notKnown(name: string, detail: string): LtxdError {
  return new LtxdError(
    'BACKUP_UNRELATED',
    `database ${name} and its backup cannot be compared (${detail}), so this node does not lead: ` +
      'start it with an empty data directory to restore the backup',
  )
}
