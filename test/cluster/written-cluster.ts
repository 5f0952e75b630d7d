import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ClusterMember, type ClusterOptions, TestCluster } from '../harness/cluster.ts'
import { programFile } from '../harness/programs.ts'
import { until, within } from '../harness/wait.ts'
import { type Acknowledgement, isSubsequence, readLedger, readRolledBack, reigns } from './acknowledgements.ts'
import type { Look } from './look.ts'
import type { FromWriter, ToWriter } from './messages.ts'
import { Terms } from './terms.ts'

/**
 * A cluster with a writer beside each node. A writer writes while its node leads, and records every acknowledged
 * commit.
 */

const run = promisify(execFile)
const QUIET_MS = 60_000

const DATABASES = [
  'wal.db:WAL:NORMAL',
  'wal-full.db:WAL:FULL',
  'sub/delete.db:DELETE:FULL',
  'truncate.db:TRUNCATE:NORMAL',
  'persist.db:PERSIST:FULL',
] as const

class Writer {
  readonly node: string
  readonly ledgerFile: string
  readonly #log: string
  readonly #arguments: readonly string[]
  #child: ChildProcess
  #ended: string | undefined
  #isPaused = true

  constructor(member: ClusterMember, dir: string, index: number, databases: readonly string[]) {
    this.node = member.name
    this.ledgerFile = join(dir, `${member.name}.ledger`)
    this.#log = join(dir, `${member.name}.writer.log`)
    const flags = ['--directory', member.mount, '--ledger', this.ledgerFile, '--log', this.#log]
    this.#arguments = [programFile('cluster-writer'), ...flags, '--index', String(index), ...databases]
    this.#child = this.#start()
  }

  resume(): void {
    this.#isPaused = false
    this.#tell('resume')
  }

  /** As an application that is killed and starts again: it leaves what SQLite leaves then. */
  async restart(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.kill()
    await within(`end of the writer beside ${this.node}`, QUIET_MS, ended)
    this.#ended = undefined
    this.#child = this.#start()
    if (!this.#isPaused) this.resume()
  }

  /** Resolves once it has closed all connections. */
  async pause(): Promise<void> {
    const paused = new Promise<void>((resolve) => {
      this.#child.once('message', (message: FromWriter) => message === 'paused' && resolve())
    })
    this.#isPaused = true
    this.#tell('pause')
    await within(`pause of the writer beside ${this.node}`, QUIET_MS, paused)
  }

  acknowledgements(): Acknowledgement[] {
    return readLedger(this.node, this.ledgerFile)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #start(): ChildProcess {
    const errors = openSync(this.#log, 'a')
    const child = spawn(process.execPath, this.#arguments, { stdio: ['ignore', errors, errors, 'ipc'] })
    closeSync(errors)
    child.once('exit', (code, signal) => {
      if (child === this.#child) this.#ended = signal ?? `code ${code}`
    })
    return child
  }

  #tell(message: ToWriter): void {
    if (this.#ended !== undefined) throw new Error(`the writer beside ${this.node} has ended (${this.#ended})`)
    this.#child.send(message)
  }
}

export class WrittenCluster {
  readonly cluster: TestCluster
  readonly terms: Terms
  readonly databases: readonly string[]
  readonly #specs: readonly string[]
  readonly #writers: Writer[] = []

  private constructor(cluster: TestCluster, specs: readonly string[]) {
    this.cluster = cluster
    this.#specs = specs
    this.databases = specs.map((spec) => spec.split(':')[0] as string)
    this.terms = new Terms(cluster.consul)
  }

  /** Resolves once all nodes have all databases. No writer writes yet. */
  static async start(options: ClusterOptions, specs: readonly string[] = DATABASES): Promise<WrittenCluster> {
    const written = new WrittenCluster(await TestCluster.start(options), specs)
    try {
      await written.#create()
      return written
    } catch (error) {
      await written.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    for (const writer of this.#writers) writer.kill()
    await this.terms.stop()
    await this.cluster.stop()
  }

  resume(): void {
    for (const writer of this.#writers) writer.resume()
  }

  async pause(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.pause()))
  }

  /** Kills the application beside a node, and starts it again. */
  async restartWriter({ name }: ClusterMember): Promise<void> {
    await this.#writers.find(({ node }) => node === name)?.restart()
  }

  acknowledgements(): Acknowledgement[] {
    return this.#writers.flatMap((writer) => writer.acknowledgements())
  }

  /** The numbers that no reader may ever see. */
  rolledBack(): ReadonlySet<number> {
    return new Set(this.#writers.flatMap(({ ledgerFile }) => readRolledBack(ledgerFile)))
  }

  /**
   * Waits until each database on `member` has an acknowledged commit that began after `sinceNs`. Returns when the first
   * of these commits ended.
   */
  async writesOn(member: ClusterMember, sinceNs: bigint, deadlineMs = 60_000): Promise<bigint> {
    const writer = this.#writers.find(({ node }) => node === member.name) as Writer
    return until(`writes on ${member.name}`, deadlineMs, () => {
      const since = writer.acknowledgements().filter(({ began }) => began > sinceNs)
      const touched = new Set(since.map(({ database }) => database))
      if (touched.size < this.databases.length) return false
      return since.reduce((first, { ended }) => (ended < first ? ended : first), since[0]?.ended ?? 0n)
    })
  }

  /**
   * Stops the writers and waits until all running nodes have every database at the same position. Then reads each on
   * each node. Returns their content if it is the same on all nodes, else throws with the findings.
   */
  async quiet(): Promise<Map<string, ReadonlySet<number>>> {
    await this.pause()
    const members = await this.agree()
    const present = new Map<string, ReadonlySet<number>>()
    const findings: string[] = []
    for (const database of this.databases) {
      const looks: { name: string; look: Look }[] = []
      for (const member of members) looks.push({ name: member.name, look: await this.look(member, database) })
      for (const { name, look } of looks) findings.push(...look.findings.map((one) => `${name}: ${database}: ${one}`))
      if (new Set(looks.map(({ look }) => look.digest)).size > 1)
        findings.push(`${database} is not the same everywhere`)
      present.set(database, new Set(looks[0]?.look.numbers))
    }
    findings.push(...this.terms.findings)
    const sequence = reigns(this.acknowledgements())
    if (!isSubsequence(sequence, this.terms.holders())) {
      findings.push(`commits of ${sequence.join(', ')}, while the lease was held by ${this.terms.holders().join(', ')}`)
    }
    if (findings.length > 0) throw new Error(findings.join('\n'))
    return present
  }

  /** Waits until one node leads, and all others follow it at the same positions. */
  async agree(deadlineMs = QUIET_MS): Promise<ClusterMember[]> {
    await this.cluster.settled(deadlineMs)
    const members = this.cluster.members.filter(({ node }) => node.running)
    let seen = ''
    try {
      await until('the same positions everywhere', deadlineMs, async () => {
        const all = await Promise.all(members.map((member) => this.positions(member)))
        seen = members.map(({ name }, i) => `${name}: ${all[i]}`).join('\n')
        return new Set(all).size === 1
      })
    } catch (error) {
      throw new Error(`${String(error)}\n${seen}`, { cause: error })
    }
    return members
  }

  async positions(member: ClusterMember): Promise<string> {
    const databases = (await member.status())?.databases ?? []
    return databases
      .filter(({ sizePages }) => sizePages > 0)
      .map(
        ({ name, position, error, replication }) => `${name} ${error ?? ''} ${position} ${replication?.reason ?? ''}`,
      )
      .sort()
      .join(', ')
  }

  look(member: ClusterMember, database: string): Promise<Look> {
    return this.lookAt(join(member.mount, database))
  }

  async lookAt(path: string): Promise<Look> {
    const args = [programFile('cluster-look'), path]
    const { stdout } = await run(process.execPath, args, {
      timeout: 60_000,
      killSignal: 'SIGKILL',
      maxBuffer: 2 ** 28,
    })
    return JSON.parse(stdout) as Look
  }

  /** An error with the end of the logs of all nodes and writers. */
  explain(error: unknown): Error {
    const message = error instanceof Error ? error.message : String(error)
    const logs = this.cluster.members.map(({ name, node }) => `--- ${name} ---\n${node.logTail(25)}`)
    return new Error([message, `files in ${this.cluster.dir}`, ...logs].join('\n'), { cause: error })
  }

  async #create(): Promise<void> {
    const leader = await this.cluster.primary()
    const args = [programFile('cluster-writer'), '--directory', leader.mount, '--ledger', '/dev/null']
    await run('mkdir', ['-p', ...this.databases.map((name) => join(leader.mount, name, '..'))], { timeout: 60_000 })
    await run(process.execPath, [...args, ...this.#specs], { timeout: 60_000, env: { ...process.env, CREATE: '1' } })
    await this.agree()
    for (const [i, member] of this.cluster.members.entries()) {
      this.#writers.push(new Writer(member, this.cluster.dir, i, this.#specs))
    }
  }
}
