import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { DatabaseStatus } from '../../src/api/status.ts'
import { type ClusterMember, type ClusterOptions, TestCluster } from '../harness/cluster.ts'
import { until } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'
import { Watcher } from './watcher-process.ts'

const run = promisify(execFile)

/** A primary and its replica, with applications on both nodes. */
export class TwoNodes implements AsyncDisposable {
  readonly cluster: TestCluster
  readonly primary: ClusterMember
  readonly replica: ClusterMember
  readonly #clients: { kill(): void }[] = []

  private constructor(cluster: TestCluster, primary: ClusterMember, replica: ClusterMember) {
    this.cluster = cluster
    this.primary = primary
    this.replica = replica
  }

  static async start(options: ClusterOptions = {}): Promise<TwoNodes> {
    const cluster = await TestCluster.start({ ...options, nodes: 2 })
    const primary = await cluster.primary()
    return new TwoNodes(cluster, primary, cluster.members.find((member) => member !== primary) ?? primary)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.kill()
    await this.cluster.stop()
  }

  /** Starts an application on a node. It ends with the test. */
  open(member: ClusterMember, database: string, options: { timeoutMs?: number } = {}): SqlClient {
    const client = new SqlClient(join(member.mount, database), options)
    this.#clients.push(client)
    return client
  }

  async watch(database: string, member = this.replica): Promise<Watcher> {
    const watcher = await Watcher.start(join(member.mount, database))
    this.#clients.push(watcher)
    return watcher
  }

  async status(member: ClusterMember, database: string): Promise<DatabaseStatus | undefined> {
    return (await member.status())?.databases.find(({ name }) => name === database)
  }

  /** Waits until that database, or every database, is identical on the replica, and its readers see it. */
  async same(database?: string, deadlineMs = 60_000): Promise<void> {
    let seen: (readonly string[])[] = []
    try {
      await until('the same on both nodes', deadlineMs, async () => {
        seen = await Promise.all([this.#positions(this.primary, database), this.#positions(this.replica, database)])
        return differences(seen).length === 0 && seen[0]?.length !== 0
      })
    } catch (error) {
      const different = differences(seen)
      const names = new Set(different.map((line) => line.split(' ')[1] ?? ''))
      const lines = this.cluster.members.flatMap(({ name, node }) =>
        node.logLines((line) => [...names].some((each) => line.includes(`"${each}"`))).map((line) => `${name} ${line}`),
      )
      throw this.explain(new Error([String(error), ...different, ...lines].join('\n')))
    }
  }

  /** Runs a shell command in a process that is killed if it hangs. Returns its exit code and output. */
  async shell(command: string, ...args: string[]): Promise<{ code: number; output: string }> {
    try {
      const { stdout } = await run('sh', ['-c', command, 'sh', ...args], { timeout: 60_000, killSignal: 'SIGKILL' })
      return { code: 0, output: stdout }
    } catch (error) {
      const { code = -1, stderr = '' } = error as { code?: number; stderr?: string }
      return { code, output: stderr }
    }
  }

  explain(error: unknown): Error {
    const message = error instanceof Error ? error.message : String(error)
    const logs = this.cluster.members.map(({ name, node }) => `--- ${name} ---\n${node.logTail(25)}`)
    return new Error([message, ...logs].join('\n'), { cause: error })
  }

  async #positions(member: ClusterMember, only?: string): Promise<string[]> {
    const databases = (await member.status())?.databases ?? []
    return databases
      .filter(({ name, sizePages }) => (only === undefined ? sizePages > 0 : name === only))
      .map(({ name, position, error, replication }) => {
        // A transaction is in the log before readers see it, so one that is not applied yet counts as a difference.
        const { state = 'following', behind = 0, reason = state } = replication ?? {}
        const trouble = state === 'following' && behind === 0 ? '' : `${reason}, ${behind} behind`
        return `${name} ${position}${error ?? ''}${trouble}`
      })
  }
}

/** What only the primary says, and what only the replica says. */
function differences([ours = [], theirs = []]: readonly (readonly string[])[]): string[] {
  const only = (from: readonly string[], other: ReadonlySet<string>) => from.filter((line) => !other.has(line))
  return [
    ...only(ours, new Set(theirs)).map((line) => `primary: ${line}`),
    ...only(theirs, new Set(ours)).map((line) => `replica: ${line}`),
  ]
}
