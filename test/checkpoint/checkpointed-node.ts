import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { DatabaseStatus, NodeStatus } from '../../src/api/status.ts'
import { digestOfFile } from '../harness/digest.ts'
import { LogFollower } from '../harness/log-follower.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { localClients, signalProcess } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'

const DEADLINE_MS = 60_000

/** A node whose checkpoints a test observes. */
export class CheckpointedNode implements AsyncDisposable {
  readonly node: LtxdNode
  readonly #directory: string

  private constructor(node: LtxdNode, directory: string) {
    this.node = node
    this.#directory = directory
  }

  static async start(): Promise<CheckpointedNode> {
    const directory = mkdtempSync(path.join(realpathSync(tmpdir()), 'ltxd-checkpoint-'))
    const [mount, data, logFile] = ['mount', 'data', 'log'].map((name) => path.join(directory, name)) as [
      string,
      string,
      string,
    ]
    const node = LtxdNode.start({ mount, data, logFile })
    await node.mounted()
    return new CheckpointedNode(node, directory)
  }

  at(name: string): string {
    return path.join(this.node.options.mount, name)
  }

  /** The file's path in the data directory. */
  behind(name: string): string {
    return path.join(this.node.options.data, 'files', name)
  }

  walBytes(name: string): number {
    return statSync(`${this.behind(name)}-wal`, { throwIfNoEntry: false })?.size ?? 0
  }

  /** The number of times that the WAL was reset: its header's checkpoint sequence number. */
  walSequence(name: string): number {
    return readFileSync(`${this.behind(name)}-wal`).readUInt32BE(12)
  }

  hasWal(name: string): boolean {
    return existsSync(`${this.behind(name)}-wal`)
  }

  async status(name: string): Promise<DatabaseStatus | undefined> {
    const { url } = JSON.parse(readFileSync(path.join(this.node.options.data, 'api.json'), 'utf8')) as { url: string }
    const status = (await (await fetch(`${url}/status`)).json()) as NodeStatus
    return status.databases.find((database) => database.name === name)
  }

  async metrics(): Promise<string> {
    const { url } = JSON.parse(readFileSync(path.join(this.node.options.data, 'api.json'), 'utf8')) as { url: string }
    return (await fetch(`${url}/metrics`)).text()
  }

  /** Resolves once the local client holds the checkpoint lock, or has released it. */
  async guarded(name: string, isGuarded = true): Promise<void> {
    await until(`${name} to be ${isGuarded ? '' : 'un'}guarded`, DEADLINE_MS, async () => {
      return (await this.status(name))?.checkpoint?.isGuarded === isGuarded
    })
  }

  /** The pid of the local client; undefined while there is none. */
  get client(): number | undefined {
    return localClients(this.node.pid)[0]
  }

  killClient(): void {
    const { client } = this
    if (client !== undefined) signalProcess(client, 'SIGKILL')
  }

  get log(): string {
    return readFileSync(this.node.options.logFile, 'utf8')
  }

  /** Stops the node and asserts that the file equals its log, page by page. Returns the digest of the content. */
  async stopAndCompare(name: string): Promise<string> {
    await new LogFollower(this.node.options.data, name).catchUp()
    const { code } = await this.node.stop()
    if (code !== 0) throw this.node.explain(new Error(`the node ended with ${code}`))
    const follower = new LogFollower(this.node.options.data, name)
    await follower.catchUp()
    const file = readFileSync(this.behind(name))
    if (!file.equals(follower.database.bytes())) throw new Error('the file differs from its log')
    return digestOfFile(this.behind(name))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.destroy()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
