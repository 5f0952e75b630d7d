import { readFileSync } from 'node:fs'
import { fetchStatus } from '../../src/api/client.ts'
import type { NodeStatus } from '../../src/api/status.ts'
import { until } from '../../test/harness/wait.ts'
import { DATABASE, Machine, type MachineOptions } from '../machine.ts'

const RESTORED = new RegExp(`restored from the backup database=${DATABASE} position=([0-9a-f]{16})/`)

/** A machine of the cluster: a node with its name, and the exchange that it supervises. */
export class Member extends Machine {
  readonly name: string
  readonly #statusUrl: string

  constructor(name: string, options: MachineOptions & { readonly http: string }) {
    super(options)
    this.name = name
    this.#statusUrl = `http://${options.http}`
  }

  /** The node's status; undefined while it does not answer. */
  status(): Promise<NodeStatus | undefined> {
    return fetchStatus(this.#statusUrl).catch(() => undefined)
  }

  /** The position of the exchange's database. */
  async position(): Promise<string | undefined> {
    return (await this.status())?.databases.find(({ name }) => name === DATABASE)?.position
  }

  /** The transaction up to which the backup was restored before it served; undefined without a restore. */
  get restoredTo(): bigint | undefined {
    const [, txid] = RESTORED.exec(readFileSync(this.options.logFile, 'utf8')) ?? []
    return txid === undefined ? undefined : BigInt(`0x${txid}`)
  }

  async leads(deadlineMs: number): Promise<void> {
    await until(`${this.name} to lead`, deadlineMs, async () => (await this.status())?.role === 'primary')
  }

  /** Resolves once it is connected to that primary and has caught up. */
  async follows(primary: Member, deadlineMs: number): Promise<void> {
    await until(`${this.name} to follow ${primary.name}`, deadlineMs, async () => {
      const status = await this.status()
      const { connected, primary: followed } = status?.cluster ?? {}
      return status?.role === 'replica' && connected === true && followed?.hostname === primary.name
    })
  }
}
