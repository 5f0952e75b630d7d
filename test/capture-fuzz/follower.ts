import { setTimeout as sleep } from 'node:timers/promises'
import { fetchStatus } from '../../src/api/client.ts'
import { formatPosition, parsePosition, type Position } from '../../src/ltx/format/types.ts'
import { TestReplica } from '../../src/stream/testing/replica.ts'
import type { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'
import { Finding } from './finding.ts'

/** A transaction reaches a replica within milliseconds, unless the machine is busy. */
const SOON_MS = 30
const LATE_MS = 15_000
const RECONNECT_MS = 40

/** A replica of the node: what it gets by the stream, in memory. */
export class Follower {
  readonly #url: string
  readonly #replica = new TestReplica()

  constructor(port: number) {
    this.#url = `http://127.0.0.1:${port}`
    this.#replica.follow({ nodeId: 'a'.repeat(16), hostname: 'fuzzed', url: this.#url }, 1n, RECONNECT_MS)
  }

  /** Resolves once the node leads and this replica has everything. */
  async connected(node: LtxdNode): Promise<void> {
    const before = this.#replica.caughtUpCount
    try {
      await until('a node that leads', 60_000, async () => {
        if (!node.running) throw new Error('the node has ended')
        return (await fetchStatus(this.#url).catch(() => undefined))?.role === 'primary'
      })
      await until('a replica', 60_000, () => this.#replica.caughtUpCount > before)
    } catch (error) {
      throw node.explain(error)
    }
  }

  /** Throws a Finding if the replica does not get the position. */
  async reached(path: string, position: Position): Promise<void> {
    const isThere = () => isSame(this.#replica.databases.get(path)?.position, position)
    if (await isSoon(isThere)) return
    // Later the database is announced again, with its next commit or checkpoint, which would hide a lost announcement.
    const announced = await this.#announced(path)
    if (!isThere() && announced < position.txid) throw this.#lost(path, position, 'the commit was not announced')
    try {
      await until(path, LATE_MS, isThere)
    } catch {
      throw this.#lost(path, position, this.#replica.lines.slice(-5).join('\n'))
    }
  }

  /** The TXID that the node's threads besides the data plane know. */
  async #announced(path: string): Promise<bigint> {
    const { databases } = await fetchStatus(this.#url)
    const known = databases.find(({ name }) => name === path)
    return known === undefined ? 0n : (parsePosition(known.position)?.txid ?? 0n)
  }

  #lost(path: string, position: Position, details: string): Finding {
    const received = this.#replica.databases.get(path)?.position
    const reached = received === undefined ? 'nothing' : formatPosition(received)
    return new Finding(
      'not in the stream',
      `${path}: ${formatPosition(position)}, a replica has ${reached}; ${details}`,
    )
  }

  /** Keeps only the positions of the databases in a folder, so that they are not sent again. */
  forget(folder: string): void {
    for (const [name, database] of this.#replica.databases) {
      if (!name.startsWith(`${folder}/`)) continue
      database.pages = []
      database.history = database.history.slice(-1)
    }
  }

  async stop(): Promise<void> {
    await this.#replica.client?.stop()
  }
}

async function isSoon(condition: () => boolean): Promise<boolean> {
  const end = performance.now() + SOON_MS
  while (!condition()) {
    if (performance.now() > end) return false
    await sleep(1)
  }
  return true
}

function isSame(a: Position | undefined, b: Position): boolean {
  return a?.txid === b.txid && a.checksum === b.checksum
}
