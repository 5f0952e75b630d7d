/**
 * Before a node leads, it applies the transactions that its predecessors shipped to the backup but never streamed: they
 * are part of the history.
 */

import type { FileRef } from '../backup/history/layout.ts'
import { SNAPSHOT_LEVEL } from '../backup/history/layout.ts'
import { listBackup } from '../backup/ship/boot.ts'
import type { FileDetails, TakeOver } from '../backup/ship/take-over.ts'
import { executeTakeOver, gatherTakeOverFacts, planTakeOver } from '../backup/ship/take-over.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import { LogReader } from '../log/reader.ts'
import { createLog, logDirectory } from '../log/store.ts'
import { EMPTY_CHECKSUM, formatTXID } from '../ltx/format/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { PromptStore } from '../objectstore/stores/prompt-store.ts'
import type { Replica } from '../replica/replica.ts'
import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import type { NodeBackup } from './node-backup.ts'
import type { TakenOver } from './taken-over.ts'

export interface TakeOverContext {
  readonly backup: NodeBackup
  readonly plane: DataPlane
  /** Still active: it holds the locks for applying to the databases. */
  readonly replica: Replica
  readonly data: DataDirectory
  /** The term of the last leader whose history this node has. */
  readonly localTerm: bigint
  /** The term in which this node is about to lead. */
  readonly term: bigint
  readonly logger: Logger
  readonly signal: AbortSignal
}

/** Throws LtxdError when this node must not lead. */
export async function takeOver(context: TakeOverContext): Promise<Map<string, TakenOver>> {
  const { backup, plane, signal } = context
  const store = new PromptStore(backup.store, signal)
  const takenOver = new Map<string, TakenOver>()
  const names = new Set([...plane.databases.keys(), ...(await listBackup(store)).map(({ name }) => name)])
  for (const name of names) {
    signal.throwIfAborted()
    const plan = await takeOverOne(context, store, name)
    if (plan.kind === 'unknown') throw notKnown(name, plan.detail)
    takenOver.set(name, { at: plan.takenOverAt, isBackedUp: isBackedUp(plan) })
  }
  return takenOver
}

function isBackedUp(plan: TakeOver): boolean {
  if (plan.kind === 'diverged') return plan.winner === 'backup'
  return ['equal', 'fast-forward', 'replace', 'dropped'].includes(plan.kind)
}

async function takeOverOne(context: TakeOverContext, store: ObjectStore, name: string): Promise<TakeOver> {
  const { plane, replica, data, localTerm, term, logger, signal } = context
  const log = new LogReader(name, logDirectory(data.dir, name), () => plane.position(name))
  const facts = await gatherTakeOverFacts(store, log, localTerm, { signal })
  if (facts.backup.term >= term) {
    data.sawTerm(facts.backup.term)
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
