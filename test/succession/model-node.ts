import { type Candidacy } from '../../src/cluster/candidacy.ts'
import type { NodeAddress } from '../../src/cluster/lease/lease.ts'
import { next, wakeAtMs } from '../../src/cluster/role/role.ts'
import type { Effect, Event } from '../../src/cluster/role/role-events.ts'
import { INITIAL, type Now, type Rules, type State } from '../../src/cluster/role/role-state.ts'
import type { NodeName } from '../../src/util/node-address.ts'

/** A node of the model: the real role machine, and as much of its host as the rules of succession speak of. */

export const DATABASES = 2
export const TTL_MS = 1_000

export type Bug = 'no yield' | 'no margin' | 'received dropped' | 'no roll call' | 'the last leader shows late'

export class ModelNode {
  readonly index: number
  readonly address: NodeAddress
  readonly rules: Rules
  readonly #showsLate: boolean
  /** How fast its clock runs. */
  readonly rate: number
  // In its data directory.
  clusterId: string | undefined
  ledTerm = 0n
  historyTerm = 0n
  knownTerm = 0n
  /** The other nodes of the cluster. */
  nodes: readonly NodeName[] = []
  /** The newest transaction of each database, in the log, and received; both by number. */
  log: number[] = Array<number>(DATABASES).fill(0)
  received: number[] = Array<number>(DATABASES).fill(0)
  /** Transactions of which a copy was moved aside. */
  readonly aside = new Set<number>()
  // Faults.
  isUp = true
  isPaused = false
  isCutFromStore = false
  isBlocked = false
  // Of the running process.
  state: State = INITIAL
  /** Effects that are not carried out yet, in order: those of the lease, and those of the host. */
  operations: Effect[] = []
  calls: Effect[] = []
  following: { readonly node: number; readonly term: bigint } | undefined
  /** What the primary of that term had when this node began to follow it. */
  begun: (readonly number[])[] = []
  begunTerm = 0n
  leads: bigint | undefined
  deadlineMs = 0
  previous: Effect | undefined
  /** The last leader that a candidate has seen lead. */
  witnessed: string | undefined
  renewals = 0
  /** The state of the lease that it has read; -1: none, undefined: nothing yet. */
  seenVersion: number | undefined
  isAborted = false
  /** Since when nothing keeps it from acting, in real time. */
  wellSinceMs = 0
  /** When it had last caught up with a leader. */
  caughtUpAtMs = 0
  /** The candidates to which it has left the lease in its last election. */
  yieldedTo: readonly string[] = []

  constructor(index: number, rate: number, bugs: ReadonlySet<Bug>, settleMs: number) {
    this.index = index
    this.rate = rate
    const hex = (index + 1).toString(16).padStart(16, '0')
    this.#showsLate = bugs.has('the last leader shows late')
    this.address = { nodeId: hex, hostname: `node-${index}`, url: `http://127.0.0.1:${index + 1}` }
    this.rules = {
      ...{ self: this.address, candidate: true, ttlMs: TTL_MS, demoteMs: 500, uploadWindowMs: 0, hasBackup: false },
      ...{ settleMs, yieldMs: bugs.has('no yield') ? 0 : TTL_MS, found: index === 0 ? 'now' : 'wait' },
      marginMs: bugs.has('no margin') ? 0 : TTL_MS / 10,
    }
  }

  /** What it knows as leader, with the nodes that follow it. */
  meet(node: ModelNode): void {
    if (!this.nodes.includes(node.address)) this.nodes = [...this.nodes, node.address]
    node.nodes = [this.address, ...this.nodes].filter((other) => other !== node.address)
  }

  get isLive(): boolean {
    return this.isUp && !this.isPaused
  }

  get isApplying(): boolean {
    return this.received.some((tx, d) => tx !== this.log[d])
  }

  unfit(): string | undefined {
    return this.isBlocked && this.isApplying ? 'a reader holds up a database' : undefined
  }

  at(realMs: number): number {
    return realMs * this.rate
  }

  on(event: Event, realMs: number): void {
    const now: Now = {
      ...{ ms: this.at(realMs), unfit: this.unfit(), newcomer: this.clusterId === undefined },
      ...{
        knownTerm: this.knownTerm + (this.#showsLate ? 1n : 0n),
        ledTerm: this.ledTerm,
        historyTerm: this.historyTerm,
      },
    }
    if (this.state.name === 'standing-by') {
      const { yieldedTo = [], yielding } = this.state.election ?? {}
      this.yieldedTo = yielding === undefined ? yieldedTo : [...yieldedTo, yielding.nodeId]
    }
    const { state, effects } = next(this.state, event, this.rules, now)
    this.state = state
    for (const effect of effects) this.#take(effect)
  }

  isDue(realMs: number): boolean {
    return this.at(realMs) >= wakeAtMs(this.state)
  }

  candidacy(of: string, depthOf: (tx: number) => number): Candidacy {
    const { nodeId, hostname } = this.address
    const positions = new Map(this.log.map((tx, d) => [BigInt(d), BigInt(depthOf(tx))]))
    const { knownTerm, historyTerm, nodes } = this
    const { lastRecord } = this.state
    const witnessed = lastRecord && { term: lastRecord.term, holder: lastRecord.holder.nodeId }
    return {
      nodeId,
      hostname,
      of,
      knownTerm,
      historyTerm,
      positions,
      nodes,
      witnessed,
      isUnfit: this.unfit() !== undefined,
    }
  }

  /** The process ends. What it received and did not apply is gone with it. */
  end(): void {
    this.isUp = this.isPaused = false
    this.received = this.log.slice()
    this.seenVersion = undefined
    this.state = INITIAL
    this.operations = []
    this.calls = []
    this.following = undefined
    this.begun = []
    this.leads = undefined
    this.deadlineMs = 0
  }

  #take(effect: Effect): void {
    switch (effect.kind) {
      case 'acquire':
      case 'renew':
      case 'release':
        this.operations.push(effect)
        return
      case 'extend':
        this.deadlineMs = effect.deadlineMs
        return
      case 'fence':
        this.deadlineMs = 0
        return
      case 'abort':
        this.isAborted = this.calls.some(({ kind }) => kind === 'lead')
        return
      case 'wait-for':
      case 'close':
        return
      default:
        this.calls.push(effect)
    }
  }
}

export function linkKey(a: ModelNode, b: ModelNode): string {
  return a.index < b.index ? `${a.index} ${b.index}` : `${b.index} ${a.index}`
}
