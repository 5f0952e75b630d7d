import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { IS_ROOT } from '../conformance/served.ts'
import type { ClusterMember } from '../harness/cluster.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import { localClients, signalProcess } from '../harness/processes.ts'
import { programFile } from '../harness/programs.ts'
import type { Random } from '../harness/random.ts'
import { linesOf } from './acknowledgements.ts'
import { WrittenCluster } from './written-cluster.ts'

const NODES = 3
const TTL_MS = 3_000
/** Longer than a lease lasts. */
const LONG_MS = 4_500
const DISK_MIB = 96

/**
 * A cluster whose network, disks, processes and Consul fail: each node reaches Consul, and is reached by the others,
 * through a proxy of its own, and one node's data is on a small disk. Applications write and read beside each node.
 */
export class Nemesis {
  readonly written: WrittenCluster
  readonly #random: Random
  readonly #streams: ReadonlyMap<string, CuttingProxy>
  readonly #consuls: ReadonlyMap<string, CuttingProxy>
  readonly #disks: readonly string[]
  readonly #readers: { readonly output: string; kill(): void }[]

  private constructor(
    written: WrittenCluster,
    random: Random,
    proxies: Readonly<Record<'streams' | 'consuls', ReadonlyMap<string, CuttingProxy>>>,
    disks: readonly string[],
  ) {
    this.written = written
    this.#random = random
    this.#streams = proxies.streams
    this.#consuls = proxies.consuls
    this.#disks = disks
    this.#readers = written.cluster.members.map((member) => this.#read(member))
  }

  static async start(random: Random, backup: string): Promise<Nemesis> {
    const streams = new Map<string, CuttingProxy>()
    const consuls = new Map<string, CuttingProxy>()
    const disks: string[] = []
    const through = (proxies: Map<string, CuttingProxy>) => async (name: string, port: number) => {
      const proxy = await CuttingProxy.start(port)
      proxies.set(name, proxy)
      return `http://127.0.0.1:${proxy.port}`
    }
    const prepare = async (name: string, data: string) => {
      if (!IS_ROOT || name !== 'node-2') return
      await mkdir(data, { recursive: true })
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'none', data])
      disks.push(data)
    }
    const ways = { advertise: through(streams), consul: through(consuls) }
    try {
      const written = await WrittenCluster.start({ nodes: NODES, ttl: `${TTL_MS}ms`, backup, ...ways, prepare })
      return new Nemesis(written, random, { streams, consuls }, disks)
    } catch (error) {
      await release([...streams.values(), ...consuls.values()], disks)
      throw error
    }
  }

  async stop(): Promise<void> {
    for (const reader of this.#readers) reader.kill()
    for (const member of this.written.cluster.members) await member.destroy()
    await release([...this.#streams.values(), ...this.#consuls.values()], this.#disks)
    await this.written.stop()
  }

  /** What the readers saw that can never be. */
  findings(): string[] {
    const rolledBack = this.written.rolledBack()
    return this.#readers.flatMap(({ output }) =>
      linesOf(output).filter((line) => line.startsWith('!') || rolledBack.has(Number(line.split(' ')[1]))),
    )
  }

  /** Lets something fail for a while, or two things on two nodes, and returns what it was. */
  async strike(): Promise<string> {
    const faults = [this.#kill, this.#kill, this.#killClient, this.#killWriter, this.#freeze, this.#stop]
    const cuts = [this.#cutStream, this.#cutConsul, this.#cutBoth]
    const { members } = this.written.cluster
    const leader = await this.#leader()
    const first = this.#random.next() < 0.5 && leader !== undefined ? leader : this.#pick(members)
    const kind = this.#random.next()
    if (kind < 0.1) return this.#resetConsul()
    if (kind < 0.2) return this.#stopAll()
    if (kind < 0.3 && this.#disks.length > 0) return this.#fillDisk()
    const others = members.filter((member) => member !== first)
    const all = [...faults, ...cuts]
    const struck = [this.#pick(all).call(this, first)]
    if (this.#random.next() < 0.5) struck.push(this.#pick(all).call(this, this.#pick(others)))
    return (await Promise.all(struck)).join(', ')
  }

  async #kill(member: ClusterMember): Promise<string> {
    const awayMs = this.#ms(0, 2 * TTL_MS)
    await member.node.kill()
    await sleep(awayMs)
    await this.#restart(member)
    return `kill -9 of ${member.name} for ${awayMs} ms`
  }

  async #killClient(member: ClusterMember): Promise<string> {
    for (const pid of localClients(member.node.pid)) signalProcess(pid, 'SIGKILL')
    return `kill -9 of the local client of ${member.name}`
  }

  async #killWriter(member: ClusterMember): Promise<string> {
    await this.written.restartWriter(member)
    return `kill -9 of the application beside ${member.name}`
  }

  async #freeze(member: ClusterMember): Promise<string> {
    const frozenMs = this.#ms(500, LONG_MS)
    signalProcess(member.node.pid, 'SIGSTOP')
    await sleep(frozenMs)
    signalProcess(member.node.pid, 'SIGCONT')
    return `SIGSTOP of ${member.name} for ${frozenMs} ms`
  }

  async #stop(member: ClusterMember): Promise<string> {
    const awayMs = this.#ms(0, 1_000)
    await member.node.stop()
    await sleep(awayMs)
    await this.#restart(member)
    return `a clean stop of ${member.name} for ${awayMs} ms`
  }

  async #stopAll(): Promise<string> {
    const { members } = this.written.cluster
    await Promise.all(members.map((member) => member.node.stop()))
    await Promise.all(members.map((member) => this.#restart(member)))
    return 'a clean stop of all nodes'
  }

  #cutStream(member: ClusterMember): Promise<string> {
    return this.#cut(member, 'the others', this.#streams)
  }

  #cutConsul(member: ClusterMember): Promise<string> {
    return this.#cut(member, 'Consul', this.#consuls)
  }

  #cutBoth(member: ClusterMember): Promise<string> {
    return this.#cut(member, 'everything', this.#streams, this.#consuls)
  }

  async #cut({ name }: ClusterMember, what: string, ...ways: ReadonlyMap<string, CuttingProxy>[]): Promise<string> {
    const cutMs = this.#ms(500, LONG_MS)
    for (const way of ways) way.get(name)!.cuts = { times: Infinity, afterBytes: 0 }
    await sleep(cutMs)
    for (const way of ways) way.get(name)!.cuts = { times: 0, afterBytes: 0 }
    return `cut ${what} from ${name} for ${cutMs} ms`
  }

  async #resetConsul(): Promise<string> {
    await this.written.cluster.consul.reset()
    return 'Consul lost its state'
  }

  async #fillDisk(): Promise<string> {
    const fullMs = this.#ms(500, 3_000)
    const filler = join(this.#disks[0] as string, 'filler')
    const fd = openSync(filler, 'w')
    try {
      for (;;) writeSync(fd, Buffer.alloc(1 << 20))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(fd)
    }
    await sleep(fullMs)
    rmSync(filler)
    return `a full disk of node-2 for ${fullMs} ms`
  }

  async #leader(): Promise<ClusterMember | undefined> {
    const { members } = this.written.cluster
    const states = await Promise.all(members.map((member) => member.status()))
    return members.find((_, i) => states[i]?.role === 'primary')
  }

  async #restart(member: ClusterMember): Promise<void> {
    await member.restart()
    await member.node.mounted()
  }

  #pick<T>(things: readonly T[]): T {
    return things[Math.floor(this.#random.next() * things.length)] as T
  }

  #ms(from: number, to: number): number {
    return Math.round(from + this.#random.next() * (to - from))
  }

  #read(member: ClusterMember): { readonly output: string; kill(): void } {
    const output = join(this.written.cluster.dir, `${member.name}.reader`)
    const args = ['--directory', member.mount, '--output', output, ...this.written.databases]
    const child = spawn(process.execPath, [programFile('cluster-reader'), ...args], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    return { output, kill: () => child.kill('SIGKILL') }
  }
}

async function release(proxies: readonly CuttingProxy[], disks: readonly string[]): Promise<void> {
  for (const proxy of proxies) await proxy.stop()
  for (const disk of disks) execFileSync('umount', ['-l', disk])
}
