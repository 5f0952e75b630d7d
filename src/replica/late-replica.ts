import type { DatabaseOwner } from '../data/database-owner.ts'
import { Spool } from '../data/spool.ts'
import type { TXID } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import { advance, type AdvanceTo } from './advance.ts'
import { ReplicaDatabases, type ReplicaDatabasesOptions } from './databases.ts'
import { HUNG_MS, unlessSilent } from './hung.ts'

export type LateReplicaOptions = Pick<ReplicaDatabasesOptions, 'data' | 'plane' | 'mountDir' | 'owners' | 'logger'>

/**
 * A node that leads is still a replica of a database that it withholds. A local client of its own brings that forward
 * from the backup. It starts with the first file.
 */
export class LateReplica {
  readonly #databases: ReplicaDatabases
  readonly #spool: Spool
  #isOpen = false
  #isLost = false
  #broken: string | undefined

  constructor(database: string, options: LateReplicaOptions) {
    const { data } = options
    this.#spool = new Spool(data.files, `${data.dir}/temporary/late`)
    this.#databases = new ReplicaDatabases({
      ...options,
      late: database,
      applied: () => undefined,
      broken: (_, reason) => (this.#broken = reason),
      heldUp: () => undefined,
      lost: () => (this.#isLost = true),
    })
  }

  /** Throws ReplicaError, and the reason of `signal`. */
  async advance(name: string, bytes: AsyncIterable<Uint8Array>, to: AdvanceTo, signal: AbortSignal): Promise<void> {
    await this.#open()
    await this.#unlessSilent(advance(this.#spool, this.#databases, name, bytes, to, signal))
  }

  async own(name: string, owner: DatabaseOwner): Promise<void> {
    await this.#open()
    await this.#unlessSilent(this.#databases.own(name, owner))
  }

  async setAside(name: string, reason: string, fork: TXID | undefined): Promise<void> {
    await this.#open()
    await this.#databases.setAside(name, reason, fork)
  }

  /**
   * Takes the database's write locks, and releases them. In between, `beforeRelease` makes this node lead it: an
   * application that waited for a lock may write when it gets it.
   */
  async finish(beforeRelease: () => void): Promise<void> {
    if (this.#isOpen) await this.#databases.finish()
    if (this.#isLost) throw new LtxdError('CLIENT_LOST', 'the local client ended')
    if (this.#broken !== undefined) throw new LtxdError('CLIENT_LOST', this.#broken)
    beforeRelease()
  }

  async close(): Promise<void> {
    await this.#databases.close()
    this.#spool.clear()
  }

  /** What waits for the client goes on, with an error. */
  abort(): void {
    this.#databases.interrupt()
    this.#databases.kill()
  }

  async #open(): Promise<void> {
    if (this.#isOpen) return
    this.#isOpen = true
    await this.#unlessSilent(this.#databases.open())
  }

  #unlessSilent<T>(work: Promise<T>): Promise<T> {
    return unlessSilent(this.#databases, HUNG_MS.leading, work)
  }
}
