import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchStatus } from '../../src/api/client.ts'
import type { NodeStatus } from '../../src/api/status.ts'
import { ConsulServer } from './consul-server.ts'
import { LtxdNode } from './ltxd-node.ts'
import { freePort } from './s3-server.ts'
import { until } from './wait.ts'

export interface ClusterOptions {
  /** The number of nodes, named node-1, node-2 … */
  readonly nodes?: number
  readonly ttl?: string
  /** So many nodes, the first ones, may lead. Default: all. */
  readonly candidates?: number
  readonly backup?: string | ((node: string) => string)
  /** Returns the URL at which peers reach the node that listens on this port. */
  readonly advertise?: (node: string, port: number) => Promise<string>
  /** Returns the URL at which the node reaches Consul. */
  readonly consul?: (node: string, port: number) => Promise<string>
  /** Called before the node's first start, with its data directory, which does not exist yet. */
  readonly prepare?: (node: string, data: string) => Promise<void>
  /** More sections for each node's ltxd.yml. */
  readonly config?: string
  readonly cli?: string
}

/** A Consul and several nodes, each a process on this machine. */
export class TestCluster {
  readonly dir: string
  readonly consul: ConsulServer
  readonly members: ClusterMember[] = []
  readonly #options: ClusterOptions

  private constructor(dir: string, consul: ConsulServer, options: ClusterOptions) {
    this.dir = dir
    this.consul = consul
    this.#options = options
  }

  /** Resolves once the first node leads and all others follow it. With 0 nodes, `add` makes the first. */
  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-cluster-')))
    const cluster = new TestCluster(dir, await ConsulServer.start(), options)
    try {
      for (let i = 0; i < (options.nodes ?? 3); i++) {
        const member = await cluster.add()
        await member.node.mounted()
        if (i === 0) await cluster.primary()
      }
      if (cluster.members.length > 0) await cluster.settled()
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  /** Starts another node with an empty data directory, and does not wait for it. */
  async add(): Promise<ClusterMember> {
    const {
      ttl = '3s',
      backup: place,
      advertise,
      consul,
      prepare,
      config = '',
      cli,
      candidates = Infinity,
    } = this.#options
    const name = `node-${this.members.length + 1}`
    const dir = join(this.dir, name)
    const backup = typeof place === 'function' ? place(name) : place
    const port = await freePort()
    const url = await advertise?.(name, port)
    const consulUrl = (await consul?.(name, this.consul.port)) ?? this.consul.url
    await prepare?.(name, `${dir}-data`)
    const lease = [
      `lease:\n  hostname: ${name}\n  ttl: ${ttl}\n  demote-delay: 1s\n`,
      this.members.length < candidates ? '' : '  candidate: false\n',
      url === undefined ? '' : `  advertise-url: "${url}"\n`,
      // The first node would wait for others with data. An earlier version does not, and does not know the key.
      this.members.length > 0 || cli !== undefined ? '' : '  found: now\n',
      `  consul: { url: "${consulUrl}" }\n`,
    ].join('')
    const file = `${dir}.yml`
    await writeFile(file, `${lease}${backup === undefined ? '' : `backup: { url: "${backup}" }\n`}${config}`)
    const member = new ClusterMember(name, {
      mount: `${dir}-mnt`,
      data: `${dir}-data`,
      logFile: `${dir}.log`,
      // The same at each start, because a node recognizes its own lease by its address.
      http: `127.0.0.1:${port}`,
      arguments: ['--config', file],
      ...(cli === undefined ? {} : { cli }),
    })
    this.members.push(member)
    return member
  }

  /** Waits for the node that leads. While two claim to lead, it is the one with the later term. */
  async primary({
    not,
    deadlineMs = 60_000,
  }: { not?: ClusterMember; deadlineMs?: number } = {}): Promise<ClusterMember> {
    return until('a primary', deadlineMs, async () => {
      const leaders: { member: ClusterMember; term: bigint }[] = []
      for (const member of this.#running()) {
        const status = await member.status()
        if (member === not || status?.role !== 'primary') continue
        leaders.push({ member, term: BigInt(status.cluster?.term ?? 0) })
      }
      return leaders.sort((a, b) => Number(b.term - a.term))[0]?.member
    })
  }

  /** Resolves once one running node leads and all others are connected to it. */
  async settled(deadlineMs = 60_000): Promise<ClusterMember> {
    return until('a primary that all others follow', deadlineMs, async () => {
      const running = this.#running()
      const states = await Promise.all(running.map((member) => member.status()))
      const leader = running.find((_, i) => states[i]?.role === 'primary')
      const follows = (status: NodeStatus | undefined) =>
        status?.role === 'replica' &&
        status.cluster?.connected === true &&
        status.cluster.primary?.hostname === leader?.name
      return leader !== undefined && states.every((status, i) => running[i] === leader || follows(status)) && leader
    })
  }

  /** Kills all processes and removes all files. */
  async stop(): Promise<void> {
    for (const member of this.members) await member.destroy()
    await this.consul.stop()
    await rm(this.dir, { recursive: true, force: true })
  }

  #running(): ClusterMember[] {
    return this.members.filter((member) => member.node.running)
  }
}

type MemberOptions = LtxdNode['options'] & { readonly http: string }

export class ClusterMember {
  readonly name: string
  readonly url: string
  readonly #options: MemberOptions
  #node: LtxdNode

  constructor(name: string, options: MemberOptions) {
    this.name = name
    this.url = `http://${options.http}`
    this.#options = options
    this.#node = LtxdNode.start(options)
  }

  get node(): LtxdNode {
    return this.#node
  }

  get mount(): string {
    return this.#options.mount
  }

  get data(): string {
    return this.#options.data
  }

  /** The node's status; undefined while it does not answer. */
  async status(): Promise<NodeStatus | undefined> {
    try {
      return await fetchStatus(this.url)
    } catch {
      return undefined
    }
  }

  /** Starts an ended node again, with the same mount and address, and its data or (`fresh`) an empty directory. */
  async restart({ fresh = false }: { fresh?: boolean } = {}): Promise<void> {
    if (this.#node.running) throw new Error(`${this.name} still runs`)
    if (fresh) await rm(this.data, { recursive: true, force: true })
    this.#node = LtxdNode.start(this.#options)
  }

  destroy(): Promise<void> {
    return this.#node.destroy()
  }
}
