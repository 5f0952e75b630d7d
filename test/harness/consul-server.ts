import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findTool } from '../../infra/test-tools.ts'
import { freePort } from './s3-server.ts'
import { until, within } from './wait.ts'

/**
 * A real Consul for one test: a server on free ports of the loopback. It has a data directory, so it can be killed and
 * started again.
 */
export class ConsulServer {
  readonly port: number
  readonly dir: string
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #managing: string | undefined

  private constructor(port: number, dir: string) {
    this.port = port
    this.dir = dir
  }

  /** Resolves once it has a leader and accepts writes. `acl`: it knows tokens; without one, everything is allowed. */
  static async start({ acl = false } = {}): Promise<ConsulServer> {
    const server = new ConsulServer(await freePort(), await mkdtemp(join(tmpdir(), 'ltxd-consul-')))
    const ports = { http: server.port, server: await freePort(), serf_lan: await freePort() }
    const config = {
      server: true,
      bootstrap_expect: 1,
      node_name: 'test',
      bind_addr: '127.0.0.1',
      client_addr: '127.0.0.1',
      data_dir: join(server.dir, 'data'),
      disable_update_check: true,
      ports: { ...ports, serf_wan: -1, dns: -1, grpc: -1 },
      // The election of a single server then takes half a second, not five.
      performance: { raft_multiplier: 1 },
      acl: { enabled: acl, default_policy: 'allow' },
    }
    await writeFile(join(server.dir, 'consul.json'), JSON.stringify(config))
    await server.run()
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts it, or starts it again on the same port with its durable data. */
  async run(): Promise<void> {
    const binary = findTool('consul')
    if (binary === undefined) throw new Error('consul is not installed: bash infra/setup.sh --test-tools')
    const log = openSync(join(this.dir, 'log'), 'a')
    const child = spawn(binary, ['agent', '-config-file', join(this.dir, 'consul.json')], {
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()))
    try {
      await until('answer of Consul', 60_000, () => this.#answers(), 50)
    } catch (error) {
      await this.kill()
      throw new Error(readFileSync(join(this.dir, 'log'), 'utf8').slice(-1500), { cause: error })
    }
  }

  /** Stops the process: connections stay open, and requests get no answer. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await within('end of Consul', 60_000, this.#exited)
  }

  /** Starts it again without its data, as one that keeps its state in memory alone. */
  async reset(): Promise<void> {
    await this.kill()
    await rm(join(this.dir, 'data'), { recursive: true, force: true })
    await this.run()
  }

  async stop(): Promise<void> {
    await this.kill()
    await rm(this.dir, { recursive: true, force: true })
  }

  /** The value of a key as text; undefined if the key does not exist. */
  async get(key: string): Promise<string | undefined> {
    const response = await fetch(`${this.url}/v1/kv/${key}?raw&consistent`)
    return response.status === 200 ? response.text() : undefined
  }

  /** Writes a key regardless of its lock, as `consul kv put` does. */
  async put(key: string, value: string): Promise<void> {
    await this.#send('PUT', key, value)
  }

  async delete(key: string): Promise<void> {
    await this.#send('DELETE', key)
  }

  /** The secret of a new token, which may do everything but what these rules forbid. */
  async token(rules: string): Promise<string> {
    this.#managing ??= (await this.#acl('bootstrap', {})).SecretID
    const { ID } = await this.#acl('policy', { Name: randomUUID(), Rules: rules })
    return (await this.#acl('token', { Policies: [{ ID }] })).SecretID
  }

  async #acl(what: string, body: object): Promise<{ ID: string; SecretID: string }> {
    const response = await fetch(`${this.url}/v1/acl/${what}`, {
      method: 'PUT',
      headers: { 'x-consul-token': this.#managing ?? '' },
      ...(what === 'bootstrap' ? {} : { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`Consul answered ${response.status} to ${what}: ${await response.text()}`)
    return (await response.json()) as { ID: string; SecretID: string }
  }

  async #send(method: string, key: string, body?: string): Promise<void> {
    const response = await fetch(`${this.url}/v1/kv/${key}`, { method, ...(body === undefined ? {} : { body }) })
    if (!response.ok) throw new Error(`Consul answered ${response.status} to ${method} ${key}`)
  }

  /** Whether a session can be created, which needs a leader and a registered node. */
  async #answers(): Promise<boolean> {
    if (this.#child?.exitCode !== null || this.#child.signalCode !== null) throw new Error('Consul has ended')
    try {
      const signal = AbortSignal.timeout(2_000)
      const response = await fetch(`${this.url}/v1/session/create`, { method: 'PUT', signal })
      if (!response.ok) return false
      const { ID } = (await response.json()) as { ID: string }
      await fetch(`${this.url}/v1/session/destroy/${ID}`, { method: 'PUT', signal })
      return true
    } catch {
      return false
    }
  }
}
