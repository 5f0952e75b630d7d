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
/** How long before the kill the moment lies that is restored. */
const MOMENT_BEFORE_MS = 3_000
/**
 * Older than this an acknowledged order must have reached a replica or the backup: shipped each interval, and as long
 * again to write.
 */
const LAG_MS = 2 * SYNC_INTERVAL_MS

/** The primary is killed; what the receipts prove afterwards. */
export class Failover {
  readonly #stage: Stage
  readonly #ledger: Ledger
  readonly #backup: string
  #killedAtMs = 0
  /** Orders with a receipt that are not in the book any more. */
  #lostReceipts = 0

  constructor(options: { readonly stage: Stage; readonly ledger: Ledger; readonly backup: string }) {
    this.#stage = options.stage
    this.#ledger = options.ledger
    this.#backup = options.backup
  }

  /** `kill -9` of everything on the primary's machine; returns when the traders get receipts again. */
  async kill(primary: Member, successor: Member): Promise<void> {
    const { story } = this.#stage
    story.chapter(`${primary.name} is killed, in the middle of it all`)
    const { pids, atMs } = await primary.kill()
    story.tell(`kill -9 ${pids.join(' ')}; its lease is silent from now on (TTL ${TTL_MS / 1000} s)`)
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

  /** Everything that was promised is there; how much of the rest was lost is said. */
  async survival(successor: Member): Promise<void> {
    const { story } = this.#stage
    story.chapter('What do the receipts say?')
    const attempts = this.#ledger.read().filter((attempt) => attempt.sentAtMs <= this.#killedAtMs)
    const stored = await storedAt(successor.url, attempts)
    const proof = proveSurvival({ attempts, stored, lostAtMs: this.#killedAtMs, lagMs: LAG_MS })
    requireNone(proof.failures)
    this.#lostReceipts = proof.younger - proof.youngerSurvived
    story.proved(
      `all ${counted(proof.promised, 'order')} acknowledged more than ${spoken(LAG_MS)} before the kill are there, as on their receipts`,
    )
    story.proved(`of ${proof.younger} younger ones ${proof.youngerSurvived} are there too, without a hole`)
    story.tell(
      proof.oldestLossMs === undefined
        ? `lost this time: nothing. The last receipt before the kill was ${spoken(this.#youngestMs(attempts))} old`
        : `lost: ${counted(this.#lostReceipts, 'order')} with a receipt, which had reached neither ${successor.name} nor the backup; ` +
            `the oldest acknowledged ${story.paint('bold', spoken(proof.oldestLossMs))} before the kill`,
    )
    story.detail('replication is asynchronous: that window is what the sudden loss of a primary can cost')
  }

  /** How long before the kill the youngest receipt was given. */
  #youngestMs(attempts: readonly Attempt[]): number {
    const times = attempts.filter(hasReceipt).map(({ receipt }) => receipt.acknowledgedAtMs)
    return this.#killedAtMs - Math.max(...times)
  }

  /** What the killed node had alone is kept beside its databases when it comes back. */
  async kept(member: Member): Promise<void> {
    const { story } = this.#stage
    const directory = join(member.options.directory, 'data', 'diverged', DATABASE)
    const kept = keptBelow(directory)
    if (kept < this.#lostReceipts) {
      throw new ProofFailure(
        `${this.#lostReceipts} orders with receipts were lost, and ${member.name} kept ${kept} transactions in ${directory}`,
      )
    }
    story.proved(
      kept === 0
        ? `${member.name} had nothing that the others have not`
        : `${member.name} kept ${counted(kept, 'transaction')} that it had alone, as LTX files under diverged/, and follows`,
    )
  }

  /** A worker restores the database as it was a moment before the kill. */
  async moment(upkeep: Upkeep): Promise<void> {
    const { story } = this.#stage
    story.chapter(`And how was it ${spoken(MOMENT_BEFORE_MS)} before the kill?`)
    const momentMs = this.#killedAtMs - MOMENT_BEFORE_MS
    const started = performance.now()
    const { file, txid } = await upkeep.restore(DATABASE, new Date(momentMs).toISOString())
    story.tell(
      `a job in Redis, done by the worker in ${spoken(performance.now() - started)}: up to transaction ${txid}`,
    )
    const book = readRestoredBook(file)
    const attempts = this.#ledger.read().filter((attempt) => attempt.sentAtMs <= this.#killedAtMs)
    const proof = proveMoment({ attempts, stored: book.orders, momentMs, lagMs: LAG_MS })
    requireNone(proof.failures)
    story.proved(
      `holds exactly the orders 1 to ${proof.orders}: all ${proof.promised} acknowledged ${spoken(LAG_MS)} before the ` +
        'moment, none that was sent after it',
    )
    if (book.integrity !== 'ok') throw new ProofFailure(`integrity_check of the restored file: ${book.integrity}`)
    story.proved('integrity_check of the restored file: ok')
  }
}

/** How many transactions a node has set aside, by its own reports. */
function keptBelow(directory: string): number {
  if (!existsSync(directory)) return 0
  const reports = readdirSync(directory).map((name) => readFileSync(join(directory, name, 'report.json'), 'utf8'))
  return reports.reduce((sum, report) => sum + (JSON.parse(report) as { transactions: number }).transactions, 0)
}
