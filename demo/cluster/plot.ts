import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../test/harness/wait.ts'
import { filesInBackup, newestInBackup, verifyInBackup } from '../backup.ts'
import { Traders } from '../clients.ts'
import { depthAt, describeDepth, orderAt, requireIntegrity } from '../exchange.ts'
import { requestJson } from '../http.ts'
import { DATABASE, freePort } from '../machine.ts'
import { hasReceipt, Ledger } from '../receipts.ts'
import type { Stage } from '../stage.ts'
import { counted, spoken } from '../story.ts'
import { ProofFailure } from '../verdict.ts'
import { writeConfiguration } from './configuration.ts'
import { Failover } from './failover.ts'
import { FindPrimary } from './find-primary.ts'
import { Member } from './member.ts'
import type { Services } from './services.ts'
import { Upkeep } from './upkeep.ts'

const TRADERS = 5
const THINKING_MS = 40
const BOOT_DEADLINE_MS = 40_000
const SETTLED_DEADLINE_MS = 20_000
const FIRST_TRADES_MS = 3_000
const SECOND_LIFE_MS = 3_000
/** Files shipped under a lease are not compacted for half a minute; then the interval of a level follows. */
const COMPACTION_DEADLINE_MS = 60_000
const SAMPLES = 5

/** The events of the demo, in order. */
export class Plot {
  readonly #stage: Stage
  readonly #services: Services
  readonly #ledger: Ledger
  /** The exchanges by the name of their node, for the traders. */
  readonly #exchanges = new Map<string, string>()

  constructor(stage: Stage, services: Services) {
    this.#stage = stage
    this.#services = services
    mkdirSync(join(stage.base, 'clients'))
    this.#ledger = new Ledger(join(stage.base, 'clients', 'receipts.jsonl'))
  }

  async run(): Promise<void> {
    const { story, cleanup } = this.#stage
    const a = await this.#boot('node-a boots with an empty disk, and leads', 'node-a')
    await a.leads(BOOT_DEADLINE_MS)
    const traders = cleanup.own(
      'traders',
      () => new Traders(() => new FindPrimary(this.#exchanges), this.#ledger),
      (started) => started.stop(),
    )
    story.chapter(`${counted(TRADERS, 'trader')} send orders and keep their receipts; a worker maintains the backup`)
    traders.start(TRADERS, THINKING_MS)
    const upkeep = await Upkeep.start(this.#stage, this.#services)
    await sleep(FIRST_TRADES_MS)
    await this.#tell(a)

    const b = await this.#boot('node-b boots, follows, and serves reads', 'node-b')
    await b.follows(a, SETTLED_DEADLINE_MS)
    await this.#reads(a, b)
    await this.#compaction(a)

    const failover = new Failover({ stage: this.#stage, ledger: this.#ledger, backup: this.#services.backup })
    await failover.kill(a, b)
    await failover.survival(b)

    const c = await this.#boot('node-c boots with an empty disk: it restores the backup, then follows node-b', 'node-c')
    await c.follows(b, SETTLED_DEADLINE_MS)
    await this.#origin(c, b)
    const back = await this.#boot('node-a comes back with its old disk', 'node-a')
    await back.follows(b, SETTLED_DEADLINE_MS)
    await failover.kept(back)
    const txid = await this.#agreement(traders, [b, c, back])
    await failover.moment(upkeep)
    await this.#end(upkeep, [c, back, b], txid)
  }

  async #boot(chapter: string, name: string): Promise<Member> {
    const { base, story, cleanup } = this.#stage
    story.chapter(chapter)
    const directory = join(base, name)
    const config = join(base, `${name}.yml`)
    writeConfiguration(config, name, this.#services)
    const options = {
      directory,
      config,
      port: await freePort(),
      http: `127.0.0.1:${await freePort()}`,
      logFile: join(base, `${name}.log`),
    }
    const member = cleanup.own(
      name,
      () => new Member(name, options),
      (started) => started.destroy(),
    )
    story.detail(member.commandLine)
    const { depth, afterMs, mountedAfterMs } = await member.firstAnswer(BOOT_DEADLINE_MS)
    this.#exchanges.set(name, member.url)
    const role = (await member.status())?.role ?? 'silent'
    story.tell(
      `${role}; mounted after ${spoken(mountedAfterMs)}, first query answered after ${story.paint('bold', spoken(afterMs))}: ` +
        `${counted(depth.orders, 'order')} in the book`,
    )
    return member
  }

  async #tell(member: Member): Promise<void> {
    const depth = await depthAt(member.url)
    this.#stage.story.tell(`${counted(this.#ledger.receipts, 'receipt')}; ${describeDepth(depth)}`)
  }

  /** Checks that a replica shows orders acknowledged on the primary, rejects new orders, and names the primary. */
  async #reads(primary: Member, replica: Member): Promise<void> {
    const { story } = this.#stage
    const delays: number[] = []
    for (let sample = 0; sample < SAMPLES; sample++) {
      const before = this.#ledger.receipts
      await until('another receipt', SETTLED_DEADLINE_MS, () => this.#ledger.receipts > before, 1)
      const newest = this.#ledger.read().filter(hasReceipt).at(-1)
      if (newest === undefined) throw new Error('there is no receipt')
      await until(
        `order ${newest.order.id} on ${replica.name}`,
        SETTLED_DEADLINE_MS,
        () => orderAt(replica.url, newest.order.id),
        1,
      )
      delays.push(Date.now() - newest.receipt.acknowledgedAtMs)
    }
    const middle = delays.sort((x, y) => x - y)[Math.floor(SAMPLES / 2)] as number
    story.proved(
      `${counted(SAMPLES, 'order')} read on ${replica.name}, ${spoken(middle)} after their receipts (median, with two HTTP requests)`,
    )
    const order = { id: 'misdirected', side: 'buy', price: 1, quantity: 1 }
    const { status, body } = await requestJson('POST', `${replica.url}/orders`, order)
    const { error, primary: named } = body as { error?: string; primary?: string }
    if (status !== 421 || named !== primary.name) {
      throw new ProofFailure(`an order sent to ${replica.name} was answered ${status} ${JSON.stringify(body)}`)
    }
    story.proved(`an order sent to ${replica.name}: "${error}", that is ${named} (from the file .primary on its mount)`)
  }

  /** Waits for files of level 1, which only a worker can have made. */
  async #compaction(member: Member): Promise<void> {
    const { story } = this.#stage
    story.chapter('A worker compacts the backup while trading continues')
    story.detail(
      'files shipped under a lease are not compacted for half a minute: until then a new leader may still change them',
    )
    const started = performance.now()
    const levels = await until(
      'files of level 1',
      COMPACTION_DEADLINE_MS,
      async () => {
        const files = await filesInBackup(this.#services.backup, DATABASE)
        return files.some(({ level }) => level === 1) && files
      },
      1_000,
    )
    const count = (wanted: number) => levels.filter(({ level }) => level === wanted).length
    const compactedTo = levels
      .filter(({ level }) => level === 1)
      .reduce((max, { txid }) => (txid > max ? txid : max), 0n)
    story.proved(
      `${counted(count(1), 'file')} of level 1, up to transaction ${compactedTo}, beside ${count(0)} of level 0, after ${spoken(performance.now() - started)}`,
    )
    await this.#tell(member)
  }

  /** Checks that the new node restored the backup, and got the rest from the primary. */
  async #origin(newcomer: Member, primary: Member): Promise<void> {
    const { restoredTo } = newcomer
    const txid = txidOf((await newcomer.position()) ?? '0')
    if (restoredTo === undefined || txid <= restoredTo) {
      throw new ProofFailure(
        `${newcomer.name} is at transaction ${txid}, and was restored up to ${restoredTo ?? 'nothing'}`,
      )
    }
    this.#stage.story.proved(
      `up to transaction ${restoredTo} from the backup, and from there to ${txid} from ${primary.name}`,
    )
  }

  /** Checks that all nodes are equal, byte for byte, after the last order. Returns the last transaction. */
  async #agreement(traders: Traders, members: readonly [Member, ...Member[]]): Promise<bigint> {
    const { story } = this.#stage
    story.chapter('Trading continues, then ends')
    await sleep(SECOND_LIFE_MS)
    await traders.stop()
    await this.#tell(members[0])
    const position = await until('one position everywhere', SETTLED_DEADLINE_MS, async () => {
      const [first, ...others] = await Promise.all(members.map((member) => member.position()))
      return others.every((other) => other === first) && first
    })
    for (const member of members) await requireIntegrity(member.url, `the database on ${member.name}`)
    story.proved(
      `${members.map(({ name }) => name).join(', ')}: all at position ${position}, the same transaction and checksum of all pages`,
    )
    story.proved('integrity_check on each mount, with a fresh connection: ok')
    return txidOf(position)
  }

  /** Stops all nodes. The primary is last, with only the backup to take its last transactions. */
  async #end(upkeep: Upkeep, members: readonly Member[], txid: bigint): Promise<void> {
    const { story } = this.#stage
    story.chapter('The end')
    for (const member of members) await member.stop()
    await upkeep.stop()
    story.proved('SIGTERM: exchanges, nodes, worker and scheduler stopped cleanly, and nothing is mounted')
    const newest = await newestInBackup(this.#services.backup, DATABASE)
    if (newest.txid !== txid)
      throw new ProofFailure(`the backup ends with transaction ${newest.txid}, not with ${txid}`)
    story.proved(`the backup ends with transaction ${txid}, the last one`)
    await verifyInBackup(this.#services.backup, DATABASE)
    story.proved('ltxd backup verify: ok')
  }
}

/** The TXID of a position. */
function txidOf(position: string): bigint {
  return BigInt(`0x${position.split('/')[0] ?? '0'}`)
}
