/** A node that ships every commit and deletes nothing, and applications on its mount. */

import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchStatus } from '../../src/api/client.ts'
import type { DatabaseStatus, NodeStatus } from '../../src/api/status.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { HANG_MS } from '../harness/effort.ts'
import { runLimited } from '../harness/limited.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { runApplication } from './application.ts'
import type { Contents } from './fixture.ts'

export const DEADLINE_MS = HANG_MS / 2

/** Small segments; nothing is compacted or deleted except by a command. */
const CONFIG = [
  'data: { segment-size: 64KB }',
  'backup:',
  '  sync-interval: 20ms',
  '  levels: [1s, 2s, 3s]',
  '  compaction: workers',
  '  level0-retention: 3650d',
  '  snapshot: { retention: 3650d }',
  '',
].join('\n')

export interface StationOptions {
  readonly data: string
  /** Absent: no backup. */
  readonly backup?: string
  /** Further sections of ltxd.yml. */
  readonly config?: string
}

export class Station implements AsyncDisposable {
  readonly node: LtxdNode
  readonly #dir: string
  readonly #url: string
  readonly #clients: SqlClient[] = []

  private constructor(dir: string, node: LtxdNode, url: string) {
    this.#dir = dir
    this.node = node
    this.#url = url
  }

  /** Returns when the node is mounted and its API answers. It may not lead yet. */
  static async start({ data, backup, config = '' }: StationOptions): Promise<Station> {
    const dir = realpathSync(mkdtempSync(join(tmpdir(), 'ltxd-station-')))
    const file = join(dir, 'ltxd.yml')
    writeFileSync(file, CONFIG + config)
    const http = `127.0.0.1:${await freePort()}`
    const options = { mount: join(dir, 'mnt'), data, logFile: join(dir, 'log'), http, arguments: ['--config', file] }
    const node = LtxdNode.start({ ...options, ...(backup !== undefined && { backup }) })
    const station = new Station(dir, node, `http://${http}`)
    try {
      await node.mounted(DEADLINE_MS)
      await until('answer of the API', DEADLINE_MS, () =>
        station.status().then(
          () => true,
          () => false,
        ),
      )
      return station
    } catch (error) {
      const explained = station.node.explain(error)
      await station[Symbol.asyncDispose]()
      throw explained
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.kill()
    await this.node.destroy()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  path(name: string): string {
    return join(this.node.options.mount, name)
  }

  /** Starts an application with one connection. */
  async open(name: string): Promise<SqlClient> {
    await this.shell('mkdir -p "$(dirname "$1")"', name)
    const client = new SqlClient(this.path(name), { timeoutMs: 10_000 })
    this.#clients.push(client)
    return client
  }

  /** Runs a shell command in the mount, and kills it if it hangs. Returns its output. */
  shell(command: string, ...args: string[]): Promise<string> {
    const options = { cwd: '/', env: process.env }
    return runLimited(DEADLINE_MS, 'sh', ['-c', `cd "$0" && ${command}`, this.path(''), ...args], options)
  }

  status(): Promise<NodeStatus> {
    return fetchStatus(this.#url)
  }

  async database(name: string): Promise<DatabaseStatus> {
    const found = await this.#find(name)
    if (found === undefined) throw this.node.explain(new Error(`the node does not know ${name}`))
    return found
  }

  /** Waits until the node is primary. */
  async leads(): Promise<NodeStatus> {
    return this.#until('the node as primary', async () => {
      const status = await this.status()
      return status.role === 'primary' && status
    })
  }

  /** Waits until the backup has the database's last transaction. */
  shipped(name: string): Promise<DatabaseStatus> {
    return this.#until(`${name} in the backup`, async () => {
      const status = await this.#find(name)
      return status !== undefined && status.backup?.txid === txidOf(status) && status
    })
  }

  /** The contents that an application sees, in the order of the names. It runs `sql` on each first. */
  contents(names: readonly string[], sql = ''): Promise<Contents[]> {
    return runApplication(
      names.map((name) => this.path(name)),
      sql,
    )
  }

  /** Closes an application's connection and ends the application. */
  async leave(client: SqlClient): Promise<void> {
    this.#clients.splice(this.#clients.indexOf(client), 1)
    await client.close()
    await client[Symbol.asyncDispose]()
  }

  /** Ends the applications, then stops the node. */
  async stop(): Promise<void> {
    for (const client of [...this.#clients]) await this.leave(client)
    const { code } = await this.node.stop(DEADLINE_MS)
    if (code !== 0) throw this.node.explain(new Error(`ltxd ended with ${code}`))
  }

  async #find(name: string): Promise<DatabaseStatus | undefined> {
    return (await this.status()).databases.find((database) => database.name === name)
  }

  async #until<T>(what: string, condition: () => Promise<T | undefined | false>): Promise<T> {
    try {
      return await until(what, DEADLINE_MS, condition)
    } catch (error) {
      throw this.node.explain(error)
    }
  }
}

export function txidOf({ position }: DatabaseStatus): string {
  return position.slice(0, 16)
}
