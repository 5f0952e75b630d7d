import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../test/harness/wait.ts'
import { newestInBackup } from '../backup.ts'
import { describeOutage, storedAt } from '../exchange.ts'
import { DATABASE } from '../machine.ts'
import { proveMoment, proveSurvival } from '../proof.ts'
import { type Attempt, hasReceipt, type Ledger } from '../receipts.ts'
import { readRestoredBook } from '../restored-book.ts'
import type { Stage } from '../stage.ts'
import { counted, spoken } from '../story.ts'
import { ProofFailure, requireNone } from '../verdict.ts'
import { SYNC_INTERVAL_MS, TTL_MS } from './configuration.ts'
import type { Member } from './member.ts'
import type { Upkeep } from './upkeep.ts'

const LEAD_DEADLINE_MS = 30_000
const RECEIPT_DEADLINE_MS = 20_000
/** The restored moment is this long before the kill. */
const MOMENT_BEFORE_MS = 3_000
/**
 * An acknowledged order older than this must have reached a replica or the backup: one interval until the upload, and
 * as long for the upload.
 */
const LAG_MS = 2 * SYNC_INTERVAL_MS

/** Kills the primary, then checks the receipts. */
export class Failover {
  readonly #stage: Stage
  readonly #ledger: Ledger
  readonly #backup: string
  #killedAtMs = 0
  /** The number of orders with a receipt that are no longer in the book. */
  #lostReceipts = 0

  constructor(options: { readonly stage: Stage; readonly ledger: Ledger; readonly backup: string }) {
    this.#stage = options.stage
    this.#ledger = options.ledger
    this.#backup = options.backup
  }

  /** Kills everything on the primary's machine. Resolves once the traders get receipts again. */
  async kill(primary: Member, successor: Member): Promise<void> {
    const { story } = this.#stage
    story.chapter(`${primary.name} is killed while orders come in`)
    const { pids, atMs } = await primary.kill()
    story.tell(`kill -9 ${pids.join(' ')}; its lease is no longer renewed (TTL ${TTL_MS / 1000} s)`)
    const newest = await newestInBackup(this.#backup, DATABASE)
    story.tell(
      `the backup ends with transaction ${newest.txid}, committed ${spoken(atMs - newest.committedAtMs)} before the kill`,
    )
    await successor.leads(LEAD_DEADLINE_MS)
    const leadsAfterMs = Date.now() - atMs
    const receipts = this.#ledger.receipts
    await until('next receipt', RECEIPT_DEADLINE_MS, () => this.#ledger.receipts > receipts)
    story.tell(`${successor.name} leads, seen ${story.paint('bold', spoken(leadsAfterMs))} after the kill`)
    story.tell(describeOutage(this.#ledger.read(), atMs))
    this.#killedAtMs = atMs
  }

  /** Checks that all promised orders are there, and prints how many of the rest were lost. */
  async survival(successor: Member): Promise<void> {
    const { story } = this.#stage
    story.chapter('What do the receipts say?')
    const attempts = this.#ledger.read().filter((attempt) => attempt.sentAtMs <= this.#killedAtMs)
    const stored = await storedAt(successor.url, attempts)
    const proof = proveSurvival({ attempts, stored, lostAtMs: this.#killedAtMs, lagMs: LAG_MS })
    requireNone(proof.failures)
    this.#lostReceipts = proof.younger - proof.youngerSurvived
    story.proved(
      `all ${counted(proof.promised, 'order')} acknowledged more than ${spoken(LAG_MS)} before the kill are in the book, as on their receipts`,
    )
    story.proved(`of ${proof.younger} younger orders ${proof.youngerSurvived} are there too, without a gap`)
    story.tell(
      proof.oldestLossMs === undefined
        ? `lost this time: nothing. The last receipt was ${spoken(this.#youngestMs(attempts))} old at the kill`
        : `lost: ${counted(this.#lostReceipts, 'order')} with a receipt, not yet on ${successor.name} or in the backup; ` +
            `the oldest was acknowledged ${story.paint('bold', spoken(proof.oldestLossMs))} before the kill`,
    )
    story.detail('replication is asynchronous: the sudden loss of a primary can cost that window')
  }

  /** The age of the youngest receipt at the kill. */
  #youngestMs(attempts: readonly Attempt[]): number {
    const times = attempts.filter(hasReceipt).map(({ receipt }) => receipt.acknowledgedAtMs)
    return this.#killedAtMs - Math.max(...times)
  }

  /** Checks that the killed node, once back, has the transactions that no other node has under diverged/. */
  async kept(member: Member): Promise<void> {
    const { story } = this.#stage
    const directory = join(member.options.directory, 'data', 'diverged', DATABASE)
    const kept = keptBelow(directory)
    if (kept < this.#lostReceipts) {
      throw new ProofFailure(
        `${this.#lostReceipts} orders with receipts were lost, but ${member.name} has only ${kept} transactions in ${directory}`,
      )
    }
    story.proved(
      kept === 0
        ? `${member.name} had no transaction that the others lack`
        : `${member.name} moved ${counted(kept, 'transaction')} that no other node has to diverged/, and follows`,
    )
  }

  /** Has a worker restore the database as of a moment before the kill. */
  async moment(upkeep: Upkeep): Promise<void> {
    const { story } = this.#stage
    story.chapter(`The book ${spoken(MOMENT_BEFORE_MS)} before the kill`)
    const momentMs = this.#killedAtMs - MOMENT_BEFORE_MS
    const started = performance.now()
    const { file, txid } = await upkeep.restore(DATABASE, new Date(momentMs).toISOString())
    story.tell(`restored by the worker in ${spoken(performance.now() - started)}: up to transaction ${txid}`)
    const book = readRestoredBook(file)
    const attempts = this.#ledger.read().filter((attempt) => attempt.sentAtMs <= this.#killedAtMs)
    const proof = proveMoment({ attempts, stored: book.orders, momentMs, lagMs: LAG_MS })
    requireNone(proof.failures)
    story.proved(
      `it has exactly the orders 1 to ${proof.orders}: all ${proof.promised} acknowledged ${spoken(LAG_MS)} before ` +
        'that moment, and none sent after it',
    )
    if (book.integrity !== 'ok') throw new ProofFailure(`integrity_check of the restored file: ${book.integrity}`)
    story.proved('integrity_check of the restored file: ok')
  }
}

/** The number of transactions below diverged/, from the reports there. */
function keptBelow(directory: string): number {
  if (!existsSync(directory)) return 0
  const reports = readdirSync(directory).map((name) => readFileSync(join(directory, name, 'report.json'), 'utf8'))
  return reports.reduce((sum, report) => sum + (JSON.parse(report) as { transactions: number }).transactions, 0)
}
