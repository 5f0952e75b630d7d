import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fetchStatus } from '../../src/api/client.ts'
import type { DatabaseStatus } from '../../src/api/status.ts'
import type { LtxdNode } from '../../test/harness/ltxd-node.ts'
import { freePort } from '../../test/harness/s3-server.ts'
import { until } from '../../test/harness/wait.ts'
import type { Bench, Side } from './bench.ts'

const PATIENCE_MS = 120_000

/** A node of the measured cluster. */
export class Member {
  readonly node: LtxdNode
  readonly url: string

  constructor(node: LtxdNode, url: string) {
    this.node = node
    this.url = url
  }

  get mount(): string {
    return this.node.options.mount
  }

  /** As a side of a comparison. */
  side(): Side {
    return { name: 'ltxd', directory: this.mount, daemonPid: this.node.pid }
  }

  /** The status of a database; undefined while the node does not answer or does not have it. */
  async database(name: string): Promise<DatabaseStatus | undefined> {
    try {
      return (await fetchStatus(this.url)).databases.find((database) => database.name === name)
    } catch {
      return undefined
    }
  }
}

/** A primary and its replicas on this machine, with a static lease, which needs no other server. */
export class BenchCluster {
  readonly base: string
  readonly primary: Member
  readonly #bench: Bench
  readonly #primaryUrl: string
  readonly #replicas: Member[] = []

  private constructor(bench: Bench, base: string, primary: Member) {
    this.#bench = bench
    this.base = base
    this.primary = primary
    this.#primaryUrl = primary.url
  }

  /** Calls `use` once the primary leads, and ends all nodes afterwards. */
  static async use<T>(
    bench: Bench,
    row: string,
    options: { readonly backup?: boolean },
    use: (cluster: BenchCluster) => Promise<T>,
  ): Promise<T> {
    const base = join(bench.options.base, row)
    mkdirSync(base, { recursive: true })
    const lease = 'lease: { type: static, candidate: true, hostname: primary }'
    const primary = await start(
      bench,
      join(base, 'primary'),
      lease,
      options.backup === true ? backupOf(base) : undefined,
    )
    await primary.node.mounted()
    const cluster = new BenchCluster(bench, base, primary)
    try {
      return await use(cluster)
    } catch (error) {
      throw primary.node.explain(error)
    } finally {
      bench.killClients()
      for (const { node } of [...cluster.#replicas, primary]) if (node.running) await node.stop()
    }
  }

  /** Starts a node with an empty data directory, and does not wait for it (`inStep` does). */
  async replica({ backup = false } = {}): Promise<Member> {
    const lease = `lease: { type: static, candidate: false, hostname: primary, advertise-url: "${this.#primaryUrl}" }`
    const directory = join(this.base, `replica-${this.#replicas.length + 1}`)
    const replica = await start(this.#bench, directory, lease, backup ? backupOf(this.base) : undefined)
    this.#replicas.push(replica)
    return replica
  }

  /**
   * Resolves once the replica is at the primary's position. Throws if the checksums of the same transaction differ.
   */
  async inStep(replica: Member, name: string): Promise<DatabaseStatus> {
    const here = await this.primary.database(name)
    if (here === undefined) throw new Error(`the primary has no ${name}`)
    return until(`${name} on ${replica.mount}`, PATIENCE_MS, async () => {
      const there = await replica.database(name)
      if (there === undefined || txidOf(there) < txidOf(here)) return undefined
      if (there.position === here.position) return there
      throw new Error(`${name} is at ${here.position} on the primary, at ${there.position} on the replica`)
    })
  }

  /** Resolves once the backup is at the primary's position. */
  async backedUp(name: string): Promise<void> {
    await until(`backup of ${name}`, PATIENCE_MS, async () => {
      const database = await this.primary.database(name)
      return database?.backup !== undefined && database.position.startsWith(database.backup.txid)
    })
  }
}

async function start(bench: Bench, directory: string, lease: string, backup: string | undefined): Promise<Member> {
  mkdirSync(directory, { recursive: true })
  const config = join(directory, 'ltxd.yml')
  writeFileSync(config, `${lease}\n`)
  const http = `127.0.0.1:${await freePort()}`
  const node = bench.node({
    mount: join(directory, 'mount'),
    data: join(directory, 'data'),
    logFile: join(directory, 'log'),
    http,
    arguments: ['--config', config],
    ...(backup !== undefined && { backup }),
  })
  return new Member(node, `http://${http}`)
}

function backupOf(base: string): string {
  return `file://${join(base, 'backup')}`
}

function txidOf({ position }: DatabaseStatus): bigint {
  return BigInt(`0x${position.split('/')[0]}`)
}
