import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fetchStatus } from '../../src/api/client.ts'
import type { DatabaseStatus } from '../../src/api/status.ts'
import type { LtxdNode } from '../../test/harness/ltxd-node.ts'
import { freePort } from '../../test/harness/s3-server.ts'
import { until } from '../../test/harness/wait.ts'
import type { Bench, Side } from './bench.ts'

const PATIENCE_MS = 120_000

/** One node of a cluster under measurement. */
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

  /** undefined while the node does not answer, or has no such database. */
  async database(name: string): Promise<DatabaseStatus | undefined> {
    try {
      return (await fetchStatus(this.url)).databases.find((database) => database.name === name)
    } catch {
      return undefined
    }
  }
}

/** A primary and its replicas on this machine. The lease is static: nothing else needs to run. */
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

  /** `use` gets a primary that leads; afterwards nothing runs any more. */
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

  /** With an empty data directory. Started, not waited for: see `inStep`. */
  async replica({ backup = false } = {}): Promise<Member> {
    const lease = `lease: { type: static, candidate: false, hostname: primary, advertise-url: "${this.#primaryUrl}" }`
    const directory = join(this.base, `replica-${this.#replicas.length + 1}`)
    const replica = await start(this.#bench, directory, lease, backup ? backupOf(this.base) : undefined)
    this.#replicas.push(replica)
    return replica
  }

  /**
   * Resolves when the replica has what the primary has. Throws when it is the same transaction with another checksum.
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

  /** Resolves when the backup has what the primary has. */
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
