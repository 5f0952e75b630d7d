import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parsePosition, type Position } from '../../src/ltx/format/types.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { localClients, signalProcess } from '../harness/processes.ts'
import { freePort } from '../harness/s3-server.ts'
import { Application } from './application.ts'
import { Follower } from './follower.ts'

export interface BenchOptions {
  /** The path of the application, with the SQLite under test (sqlite-builds.ts). */
  readonly program: string
  /** Another build of ltxd. */
  readonly cli?: string
  readonly driver?: string
  readonly latency?: string
}

/** A node, whose directories take the place of those that were used up. */
export class Bench implements AsyncDisposable {
  readonly options: BenchOptions
  readonly base: string
  readonly mount: string
  readonly plain: string
  readonly scratch: string
  #generation = 0
  #node: LtxdNode | undefined
  /** Applications without a connection, one on the mount, one not: they check files, and read positions. */
  #watcher: Application | undefined
  #helper: Application | undefined
  readonly #excused = new Set<string>()
  #logRead = 0
  #port = 0
  #follower: Follower | undefined

  private constructor(options: BenchOptions) {
    this.options = options
    this.base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-capture-fuzz-'))
    this.mount = join(this.base, 'mount')
    this.plain = join(this.base, 'plain')
    this.scratch = join(this.base, 'scratch')
    for (const directory of [this.plain, this.scratch]) mkdirSync(directory)
  }

  static async start(options: BenchOptions): Promise<Bench> {
    const bench = new Bench(options)
    await bench.renew()
    return bench
  }

  get data(): string {
    return join(this.base, `data-${this.#generation}`)
  }

  get node(): LtxdNode {
    if (this.#node === undefined) throw new Error('there is no node')
    return this.#node
  }

  get watcher(): Application {
    if (this.#watcher === undefined) throw new Error('there is no watcher')
    return this.#watcher
  }

  get helper(): Application {
    if (this.#helper === undefined) throw new Error('there is no helper')
    return this.#helper
  }

  /** Starts a node with a new data directory. */
  async renew(): Promise<void> {
    await this.#end()
    this.#port = await freePort()
    this.#follower = new Follower(this.#port)
    rmSync(this.data, { recursive: true, force: true })
    this.#generation++
    this.#helper = new Application(this.options.program, this.plain, 1, 0)
    await this.serve()
  }

  /** Kills the node. Everything that has files of the mount open gets errors. */
  async kill(): Promise<void> {
    await this.#watcher?.kill()
    await this.node.killTree()
  }

  /** Starts the node on its data directory. */
  async serve(): Promise<void> {
    const { cli, driver, latency, program } = this.options
    const config = join(this.base, 'ltxd.yml')
    const fuse = latency === undefined ? '' : `fuse: {latency: ${latency}}\n`
    writeFileSync(config, `lease: {type: static}\n${fuse}`)
    this.#node = LtxdNode.start({
      mount: this.mount,
      data: this.data,
      logFile: join(this.base, 'log'),
      http: `127.0.0.1:${this.#port}`,
      arguments: ['--config', config, ...(driver === undefined ? [] : ['--driver', driver])],
      ...(cli === undefined ? {} : { cli }),
    })
    await this.#node.mounted()
    await this.#follower?.connected(this.#node)
    this.#watcher = new Application(program, this.mount, 1, 0)
  }

  /** The position of a database by its path on the mount. */
  async position(path: string): Promise<Position | undefined> {
    const { code, text } = await this.watcher.ask(['text', `${path}-pos`])
    return code === 0 ? parsePosition(text.trim()) : undefined
  }

  /** Resolves when a replica has this position, too. Throws a Finding if it does not get it. */
  async streamed(path: string, position: Position): Promise<void> {
    await this.#follower?.reached(path, position)
  }

  /** The program in that folder has ended. */
  forget(folder: string): void {
    this.#follower?.forget(folder)
  }

  localClients(): number[] {
    return localClients(this.node.pid)
  }

  /** A WAL that was taken away is a reason for alarms about the databases in this folder, however late they come. */
  excuseAlarms(folder: string): void {
    this.#excused.add(`database=${folder}/`)
  }

  /** What the node has said since the last call of invariants that do not hold. */
  newAlarms(): string[] {
    const excused = [...this.#excused]
    return this.newLines().filter((line) => /\bI\d+: /.test(line) && !excused.some((each) => line.includes(each)))
  }

  /** The lines that the node has logged since the last call. */
  newLines(): string[] {
    const text = readFileSync(join(this.base, 'log'), 'utf8')
    const lines = text.slice(this.#logRead).split('\n').slice(0, -1)
    this.#logRead = text.lastIndexOf('\n') + 1
    return lines
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
    rmSync(this.base, { recursive: true, force: true })
  }

  async #end(): Promise<void> {
    for (const application of [this.#watcher, this.#helper]) await application?.kill()
    await this.#follower?.stop()
    this.#follower = undefined
    if (this.#node === undefined) return
    for (const pid of this.#node.running ? this.localClients() : []) signalProcess(pid, 'SIGCONT')
    await this.#node.destroy()
  }
}
