import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cleanup } from '../test/harness/cleanup.ts'
import { until } from '../test/harness/wait.ts'
import { newestInBackup, restoreMoment } from './backup.ts'
import { Traders } from './clients.ts'
import { depthAt, describeDepth, describeOutage, requireIntegrity, storedAt } from './exchange.ts'
import { DATABASE, freePort, Machine, type MachineOptions } from './machine.ts'
import { proveMoment, proveSurvival } from './proof.ts'
import { Ledger } from './receipts.ts'
import { readRestoredBook } from './restored-book.ts'
import { onlyTo } from './route.ts'
import type { Stage } from './stage.ts'
import { counted, spoken, type Story } from './story.ts'
import { ProofFailure, requireNone } from './verdict.ts'

const TRADERS = 6
const TRADING_MS = 8_000
/** The moment restored at the end is this long before the loss. */
const MOMENT_BEFORE_LOSS_MS = 3_000
const SECOND_LIFE_MS = 2_000
const BOOT_DEADLINE_MS = 30_000

/**
 * Orders older than this must survive: the node ships each commit within one sync interval, and the upload may take as
 * long again.
 */
const SYNC_INTERVAL_MS = 1_000
const LAG_MS = 2 * SYNC_INTERVAL_MS

/** The events of the demo, in order. */
export class Plot {
  readonly #base: string
  readonly #backup: string
  readonly #story: Story
  readonly #cleanup: Cleanup
  readonly #ledger: Ledger

  constructor({ base, story, cleanup }: Stage) {
    this.#base = base
    this.#backup = `file://${join(base, 'backup')}`
    this.#story = story
    this.#cleanup = cleanup
    mkdirSync(join(base, 'clients'))
    this.#ledger = new Ledger(join(base, 'clients', 'receipts.jsonl'))
  }

  async run(): Promise<void> {
    const story = this.#story
    story.title('ltxd: an exchange loses its machine')
    const port = await freePort()
    const first = await this.#boot('A machine boots with an empty disk', 'first', port)
    const traders = this.#cleanup.own(
      'traders',
      () => new Traders(() => onlyTo(first.url), this.#ledger),
      (started) => started.stop(),
    )
    await this.#trade(first, traders)
    const lostAtMs = await this.#lose(first)
    const second = await this.#boot('A new machine boots: empty disk, same backup, same command', 'second', port)
    const lastReceiptAtMs = this.#ledger.lastReceiptAtMs
    await until('next receipt', BOOT_DEADLINE_MS, () => this.#ledger.lastReceiptAtMs > lastReceiptAtMs)
    await this.#survival(second, lostAtMs)
    await this.#goOn(second, traders)
    await this.#moment(lostAtMs)
    await second.stop()
    story.proved('SIGTERM: the exchange and the node stopped cleanly, and nothing is mounted')
  }

  async #boot(chapter: string, name: string, port: number): Promise<Machine> {
    const story = this.#story
    story.chapter(chapter)
    const options: MachineOptions = {
      directory: join(this.#base, 'machine'),
      backup: this.#backup,
      port,
      logFile: join(this.#base, `${name}-machine.log`),
    }
    const machine = this.#cleanup.own(
      `${name} machine`,
      () => new Machine(options),
      (started) => started.destroy(),
    )
    story.detail(machine.commandLine)
    const { depth, afterMs, mountedAfterMs } = await machine.firstAnswer(BOOT_DEADLINE_MS)
    story.tell(
      `mounted after ${spoken(mountedAfterMs)}; first query answered after ${story.paint('bold', spoken(afterMs))}: ` +
        `${counted(depth.orders, 'order')} in the book`,
    )
    return machine
  }

  async #trade(machine: Machine, traders: Traders): Promise<void> {
    const story = this.#story
    story.chapter(`${counted(TRADERS, 'trader')} send orders and keep their receipts`)
    traders.start(TRADERS)
    const seconds = TRADING_MS / 1000
    for (let second = 2; second <= seconds; second += 2) {
      await sleep(2_000)
      const depth = await depthAt(machine.url)
      story.tell(`${counted(this.#ledger.receipts, 'receipt')}; ${describeDepth(depth)}`)
    }
  }

  /** Returns the time of the loss. */
  async #lose(machine: Machine): Promise<number> {
    const story = this.#story
    story.chapter('The machine is lost while orders come in')
    const { pids, atMs: lostAtMs } = await machine.lose()
    story.tell(`kill -9 ${pids.join(' ')}; its disk and its mount are gone`)
    const newest = await newestInBackup(this.#backup, DATABASE)
    story.tell(
      `the backup ends with transaction ${newest.txid}, committed ${spoken(lostAtMs - newest.committedAtMs)} before the loss`,
    )
    return lostAtMs
  }

  async #survival(machine: Machine, lostAtMs: number): Promise<void> {
    const story = this.#story
    story.chapter('What do the receipts say?')
    const all = this.#ledger.read()
    const attempts = all.filter((attempt) => attempt.sentAtMs <= lostAtMs)
    story.tell(describeOutage(all, lostAtMs))
    const proof = proveSurvival({ attempts, stored: await storedAt(machine.url, attempts), lostAtMs, lagMs: LAG_MS })
    requireNone(proof.failures)
    story.proved(
      `all ${counted(proof.promised, 'order')} acknowledged more than ${spoken(LAG_MS)} before the loss are in the book, ` +
        'as on their receipts (1 s sync interval, and as long for the upload)',
    )
    story.proved(
      `of ${proof.younger} younger orders ${proof.youngerSurvived} are there too, without a gap` +
        (proof.oldestLossMs === undefined
          ? ': nothing was lost'
          : `; the oldest lost one was acknowledged ${spoken(proof.oldestLossMs)} before the loss`),
    )
  }

  async #goOn(machine: Machine, traders: Traders): Promise<void> {
    const story = this.#story
    story.chapter('Trading continues')
    await sleep(SECOND_LIFE_MS)
    await traders.stop()
    const depth = await depthAt(machine.url)
    story.tell(`${counted(this.#ledger.receipts, 'receipt')}; ${describeDepth(depth)}`)
    await requireIntegrity(machine.url, "the new machine's database")
    story.proved('integrity_check on the mount, with a fresh connection: ok')
  }

  async #moment(lostAtMs: number): Promise<void> {
    const story = this.#story
    const momentMs = lostAtMs - MOMENT_BEFORE_LOSS_MS
    const moment = new Date(momentMs).toISOString()
    story.chapter(`The book ${spoken(MOMENT_BEFORE_LOSS_MS)} before the loss`)
    const file = join(this.#base, 'moment.db')
    story.detail(`ltxd restore ${this.#backup} ${DATABASE} -o ${file} --timestamp ${moment}`)
    const start = performance.now()
    const point = await restoreMoment({ backup: this.#backup, database: DATABASE, file, moment })
    const tookMs = performance.now() - start
    const book = readRestoredBook(file)
    const attempts = this.#ledger.read().filter((attempt) => attempt.sentAtMs <= lostAtMs)
    const proof = proveMoment({ attempts, stored: book.orders, momentMs, lagMs: LAG_MS })
    requireNone(proof.failures)
    story.tell(
      `restored in ${spoken(tookMs)}, up to transaction ${point.txid}, ` +
        `committed ${spoken(momentMs - point.committedAtMs)} before that moment`,
    )
    if (point.committedAtMs >= momentMs) throw new ProofFailure('the restored transaction is younger than the moment')
    story.proved(
      `it has exactly the orders 1 to ${proof.orders}: all ${proof.promised} acknowledged ${spoken(LAG_MS)} before ` +
        'that moment, and none sent after it',
    )
    if (book.integrity !== 'ok') throw new ProofFailure(`integrity_check of the restored file: ${book.integrity}`)
    story.proved('integrity_check of the restored file: ok')
  }
}
