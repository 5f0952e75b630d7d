import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { programFile } from '../harness/programs.ts'
import { Random } from '../harness/random.ts'
import { type Application, startApplications, type Usage } from './application.ts'
import type { DatabaseToCheck } from './check.ts'

/**
 * Kills the daemon with SIGKILL again and again under write load, at moments that a seed chooses, while the same
 * applications keep running. After each restart every acknowledged commit must be there, no transaction may be torn,
 * and the applications must continue by themselves.
 */

export interface KillOptions {
  /** A new directory. */
  readonly base: string
  readonly kills: number
  readonly seed: number
  readonly usages: readonly Usage[]
  /** More checks of the node's files. Each returns its findings. */
  readonly hooks?: KillHooks
  readonly tell: (text: string) => void
}

export interface KillHooks {
  /** Runs after a kill, before the restart, on the data directory as the crash left it. */
  readonly whileDown?: (dataDirectory: string) => Promise<string[]> | string[]
  /** Runs after the restart, while the applications write. */
  readonly afterRestart?: (node: LtxdNode) => Promise<string[]> | string[]
  /** Runs after the clean stop at the end. */
  readonly afterStop?: (dataDirectory: string) => Promise<string[]> | string[]
}

export interface KillReport {
  readonly kills: number
  readonly acknowledged: number
}

/**
 * The deadline from a kill to the next commit of each application. It covers restart, recovery, and the reconnection of
 * nine writers on a busy machine.
 */
const RESTART_DEADLINE_MS = 120_000
const CHECK_DEADLINE_MS = 120_000
const MAX_LOAD_MS = 250
/** One kill in so many is followed by another during the recovery. */
const DOUBLE_KILL_EVERY = 6
const MAX_RECOVERY_MS = 400

/** Throws at the first finding, with the seed and the number of the kill. */
export async function runKills(options: KillOptions): Promise<KillReport> {
  const run = new KillRun(options)
  try {
    return await run.all()
  } finally {
    await run.destroy()
  }
}

class KillRun {
  readonly #options: KillOptions
  readonly #random: Random
  readonly #mount: string
  readonly #data: string
  #applications: Application[] = []
  #node: LtxdNode | undefined
  #kills = 0

  constructor(options: KillOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#mount = join(options.base, 'mount')
    this.#data = join(options.base, 'data')
  }

  async all(): Promise<KillReport> {
    const { kills, hooks } = this.#options
    await this.#start()
    this.#startApplications()
    await this.#applicationsWork()
    while (this.#kills < kills) {
      await sleep(this.#random.next() * MAX_LOAD_MS)
      await this.#kill()
      if (this.#random.integer(1, DOUBLE_KILL_EVERY) === 1 && this.#kills < kills) await this.#killDuringRecovery()
      const acknowledged = this.#snapshotAcknowledged()
      this.#require(await hooks?.whileDown?.(this.#data))
      const node = await this.#start()
      const [findings] = await Promise.all([this.#blame(check(this.#mount, acknowledged)), this.#applicationsWork()])
      this.#require(findings)
      this.#require(await hooks?.afterRestart?.(node))
    }
    await this.#finish()
    return { kills: this.#kills, acknowledged: this.#applications.reduce((sum, one) => sum + one.acknowledged(), 0) }
  }

  /** Ends all processes of this run, and removes its mount. */
  async destroy(): Promise<void> {
    for (const application of this.#applications) application.kill()
    await this.#node?.destroy()
  }

  async #start(): Promise<LtxdNode> {
    const node = this.#spawn()
    await this.#blame(node.mounted(RESTART_DEADLINE_MS))
    return node
  }

  #spawn(): LtxdNode {
    this.#node = LtxdNode.start({
      mount: this.#mount,
      data: this.#data,
      logFile: join(this.#options.base, 'ltxd.log'),
    })
    return this.#node
  }

  #startApplications(): void {
    const notes = join(this.#options.base, 'notes')
    mkdirSync(notes)
    this.#applications = startApplications(this.#options.usages, this.#mount, notes)
  }

  /** Copies of the acknowledged numbers so far: the files of each database's writers. */
  #snapshotAcknowledged(): Map<string, string[]> {
    const databases = new Map<string, string[]>()
    for (const application of this.#applications) {
      const files = databases.get(application.database) ?? []
      databases.set(application.database, [...files, application.snapshotAcknowledged()])
    }
    return databases
  }

  async #applicationsWork(): Promise<void> {
    await this.#blame(Promise.all(this.#applications.map((one) => one.acknowledgesMore(RESTART_DEADLINE_MS))))
  }

  async #kill(): Promise<void> {
    this.#kills++
    await this.#node?.kill()
    const acknowledged = this.#applications.map((one) => `${one.name} ${one.acknowledged()}`)
    this.#options.tell(`kill ${this.#kills} of ${this.#options.kills}; acknowledged: ${acknowledged.join(', ')}`)
  }

  async #killDuringRecovery(): Promise<void> {
    const node = this.#spawn()
    await sleep(this.#random.next() * MAX_RECOVERY_MS)
    if (!node.running) throw this.#failure([node.explain('the node ended by itself while it recovered').message])
    await this.#kill()
  }

  /** Stops cleanly, and checks the files in the data directory without a node: they must be plain SQLite. */
  async #finish(): Promise<void> {
    for (const application of this.#applications) await this.#blame(application.stop())
    const exit = await this.#node?.stop()
    if (exit?.code !== 0) throw this.#failure([`the node's clean stop ended with ${exit?.signal ?? exit?.code}`])
    this.#require(await this.#blame(check(join(this.#data, 'files'), this.#snapshotAcknowledged())))
    this.#require(await this.#options.hooks?.afterStop?.(this.#data))
  }

  #require(findings: readonly string[] | undefined): void {
    if (findings !== undefined && findings.length > 0) throw this.#failure(findings)
  }

  /** Adds the seed, the applications' notes and the node's log to an error of `step`. */
  async #blame<T>(step: Promise<T>): Promise<T> {
    try {
      return await step
    } catch (error) {
      throw this.#failure([error instanceof Error ? error.message : String(error)])
    }
  }

  #failure(findings: readonly string[]): Error {
    const { seed, kills, base } = this.#options
    return new Error(
      [
        `after kill ${this.#kills} of ${kills} with seed ${seed}, files in ${base}:`,
        ...findings.map((finding) => `  ${finding}`),
        ...this.#applications.map((one) => `--- ${one.name} ---\n${one.notes()}`),
        `--- node ---\n${this.#node?.logTail() ?? ''}`,
      ].join('\n'),
    )
  }
}

/** Checks the databases in `directory` in another process (check.ts), and returns the findings. */
async function check(directory: string, acknowledged: ReadonlyMap<string, string[]>): Promise<string[]> {
  const databases = [...acknowledged].map(([name, files]): DatabaseToCheck => ({
    path: join(directory, name),
    acknowledged: files,
  }))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [programFile('crash-check'), JSON.stringify(databases)],
    { timeout: CHECK_DEADLINE_MS, killSignal: 'SIGKILL' },
  )
  return JSON.parse(stdout) as string[]
}
