import { compare } from '../../src/cluster/candidacy.ts'
import type { Effect, Event } from '../../src/cluster/role/role-events.ts'
import { History } from './history.ts'
import { type Bug, DATABASES, linkKey, ModelNode, TTL_MS } from './model-node.ts'
import { ModelStore } from './model-store.ts'

/**
 * A cluster under faults: real role machines around one lease with compare-and-set, streams in which received is not
 * applied, readers, clocks that drift. Acknowledgements wait for nobody (asynchronous replication, no backup).
 */

export const TICK_MS = 40
/** A node that was well for so long is not passed over. */
const WELL_MS = 2 * TTL_MS
/** The last leader shows itself at once, so sooner, unless the new one has waited for it already. */
const FRESH_LEADER_MS = TTL_MS / 2

export class Model {
  readonly nodes: ModelNode[]
  readonly store = new ModelStore((what) => this.fail(what))
  nowMs = 0
  violation: string | undefined
  readonly #bugs: ReadonlySet<Bug>
  readonly #history = new History()
  readonly #lost = new Set<number>()
  #lastTerm = 0n
  readonly #acknowledged = new Map<bigint, number>()
  readonly #cuts = new Set<string>()

  constructor(rates: readonly number[], bugs: ReadonlySet<Bug>, settleMs: number) {
    this.#bugs = bugs
    this.nodes = rates.map((rate, i) => new ModelNode(i, rate, bugs, settleMs))
  }

  fail(what: string): void {
    this.violation ??= what
  }

  start(node: ModelNode): void {
    if (node.isUp) return
    node.isUp = true
    node.wellSinceMs = this.nowMs
  }

  tick(): void {
    this.nowMs += TICK_MS
    for (const node of this.nodes) {
      if (!node.isLive || node.isCutFromStore || node.isBlocked) node.wellSinceMs = this.nowMs
      // A well node acts within a tick or two: only faults make it late.
      if (node.isLive) this.act(node)
    }
  }

  act(node: ModelNode): void {
    this.see(node)
    if (node.isDue(this.nowMs)) node.on({ type: 'tick' }, this.nowMs)
    for (let n = 0; n < 4; n++) this.operate(node)
    for (let n = 0; n < 4; n++) this.call(node)
  }

  see(node: ModelNode): void {
    if (!node.isLive) return
    const seen = node.isCutFromStore ? -1 : this.store.version
    // A reading without news changes nothing.
    if (node.seenVersion === seen) return
    node.seenVersion = seen
    if (node.isCutFromStore) node.on({ type: 'unreachable', reason: 'no answer' }, this.nowMs)
    else node.on({ type: 'seen', view: this.store.viewFor(node) }, this.nowMs)
  }

  /** The next operation on the lease. */
  operate(node: ModelNode): void {
    const effect = node.isLive ? node.operations.shift() : undefined
    if (effect !== undefined) node.on(this.store.operate(node, effect, this.nowMs), this.nowMs)
  }

  /** The next call of the host. */
  call(node: ModelNode): void {
    const effect = node.isLive ? node.calls.shift() : undefined
    if (effect === undefined) return
    const event = this.#called(node, effect)
    if (event !== undefined) node.on(event, this.nowMs)
  }

  commit(node: ModelNode, database: number): boolean {
    const { leads: term } = node
    if (!node.isLive || term === undefined || node.at(this.nowMs) >= node.deadlineMs) return false
    node.log[database] = node.received[database] = this.#history.add(node.log[database] ?? 0, database)
    if (term < this.#lastTerm) this.fail('acknowledged after a later term’s first')
    if ((this.#acknowledged.get(term) ?? node.index) !== node.index) this.fail('two nodes acknowledge in one term')
    this.#acknowledged.set(term, node.index)
    if (term > this.#lastTerm) this.#lastTerm = term
    return true
  }

  stream(from: ModelNode, to: ModelNode, database: number): boolean {
    const { following } = to
    const leads = from.leads !== undefined && from.at(this.nowMs) < from.deadlineMs
    if (!leads || following?.node !== from.index || following.term !== from.leads || !this.isLinked(from, to))
      return false
    to.clusterId ??= from.clusterId
    from.meet(to)
    to.begun[database] ??= from.log.slice()
    const [there, here] = [from.log[database] ?? 0, to.received[database] ?? 0]
    if (this.#history.has(there, here)) to.received[database] = there === here ? here : this.#history.after(here, there)
    else {
      // Another history: what only this node has is kept aside, and a snapshot replaces it.
      for (let tx = here; tx !== 0 && !this.#history.has(there, tx); tx = this.#history.parent(tx)) to.aside.add(tx)
      to.received[database] = to.log[database] = there
    }
    this.#catchUp(to)
    return true
  }

  apply(node: ModelNode, database: number): boolean {
    const [log, received] = [node.log[database] ?? 0, node.received[database] ?? 0]
    if (!node.isLive || node.isBlocked || log === received) return false
    node.log[database] = this.#history.after(log, received)
    this.#catchUp(node)
    return true
  }

  isLinked(a: ModelNode, b: ModelNode): boolean {
    return a !== b && a.isLive && b.isLive && !this.#cuts.has(linkKey(a, b))
  }

  cut(a: ModelNode, b: ModelNode): void {
    this.#cuts.add(linkKey(a, b))
  }

  heal(): void {
    this.#cuts.clear()
  }

  isEqual(): boolean {
    return this.nodes.every(({ log }) => log.join() === this.nodes[0]?.log.join())
  }

  #called(node: ModelNode, effect: Effect): Event | undefined {
    switch (effect.kind) {
      case 'follow':
        this.#leave(node)
        node.following = {
          node: this.nodes.findIndex(({ address }) => address.nodeId === effect.primary.nodeId),
          term: effect.term,
        }
        node.begun = []
        node.begunTerm = effect.term
        return undefined
      case 'idle':
        this.#leave(node)
        return undefined
      case 'stand':
        return this.#stand(node, effect.of)
      case 'lead':
        return this.#lead(node, effect.term)
      case 'drain': {
        const isCopy = (other: ModelNode) =>
          other.following?.node === node.index && other.log.join() === node.log.join()
        const ids = this.nodes.filter(
          (other) => this.isLinked(node, other) && isCopy(other) && other.unfit() === undefined,
        )
        const successor = ids.find(({ address }) => effect.to === undefined || address.nodeId === effect.to)?.address
          .nodeId
        if (effect.to === undefined || successor !== undefined) node.leads = undefined
        return { type: 'drained', term: effect.term, successor, kept: successor === undefined ? 'alone' : 'elsewhere' }
      }
      case 'step-down':
        node.leads = undefined
        node.seenVersion = undefined
        return { type: 'stepped-down', clean: true }
      default:
        return undefined
    }
  }

  #stand(node: ModelNode, of: string): Event {
    this.#leave(node)
    if (!node.isBlocked) {
      node.log = node.received.slice()
      this.#catchUp(node)
    }
    if (node.isCutFromStore) return { type: 'stood', of, ahead: [], absent: node.nodes }
    const own = node.candidacy(of, (tx) => this.#history.depth(tx))
    const published = this.store.published(own)
    const witnessed = published.filter((other) => other.of === of).flatMap((other) => other.witnessed ?? [])
    node.witnessed = witnessed.sort((a, b) => Number(b.term - a.term))[0]?.holder
    const { ahead, absent, knownTerm } = compare(own, published)
    node.knownTerm = knownTerm
    return { type: 'stood', of, ahead, absent: this.#bugs.has('no roll call') ? [] : absent }
  }

  #lead(node: ModelNode, term: bigint): Event {
    const isAborted = node.isAborted
    node.isAborted = false
    this.#leave(node)
    if (isAborted || node.unfit() !== undefined) return { type: 'lead-failed', term, reason: 'held up' }
    const before = node.historyTerm
    node.log = node.received.slice()
    for (const [led, by] of this.#acknowledged) {
      if (led > before && by !== node.index && this.nodes[by]?.address.nodeId !== node.witnessed)
        this.fail('led without what a later leader has acknowledged')
    }
    this.#judge(node, before)
    node.ledTerm = node.historyTerm = term
    if (term > node.knownTerm) node.knownTerm = term
    node.leads = term
    return { type: 'led', term }
  }

  /**
   * Whether a node that stood by, well for long enough, has all that the new leader has, and more. Where each has what
   * the other lacks, one of them leads: what the other has is set aside.
   */
  #judge(node: ModelNode, historyTerm: bigint): void {
    for (let tx = 1; tx <= this.#history.last; tx++) {
      const database = this.#history.databaseOf(tx)
      if (this.#lost.has(tx) || this.#history.has(node.log[database] ?? 0, tx)) continue
      this.#lost.add(tx)
      for (const other of this.nodes) {
        if (!node.log.every((head, d) => this.#history.has(other.received[d] ?? 0, head))) continue
        if (other === node || !other.isLive || other.historyTerm < historyTerm || other.aside.has(tx)) continue
        // One that caught up while the candidates compared themselves came too late.
        if (this.nowMs - other.caughtUpAtMs < TTL_MS) continue
        const isFresh = other.ledTerm === this.#lastTerm && !node.yieldedTo.includes(other.address.nodeId)
        const wellMs = isFresh ? FRESH_LEADER_MS : WELL_MS
        if (this.nowMs - other.wellSinceMs < wellMs || !this.#history.has(other.received[database] ?? 0, tx)) continue
        this.fail('a complete node was passed over for a lagging one')
      }
    }
  }

  #leave(node: ModelNode): void {
    node.following = undefined
    if (!this.#bugs.has('received dropped')) return
    for (let d = 0; d < DATABASES; d++) {
      for (let tx = node.received[d] ?? 0; tx !== node.log[d]; tx = this.#history.parent(tx))
        if (!this.nodes.some((other) => other !== node && other.isUp && this.#history.has(other.log[d] ?? 0, tx)))
          this.fail('received, and thrown away without a copy')
    }
    node.received = node.log.slice()
  }

  /** Also after it has left. */
  #catchUp(node: ModelNode): void {
    const { begun, begunTerm } = node
    if (begun.length < DATABASES || begunTerm <= node.historyTerm) return
    if (!begun.every((heads, d) => this.#history.has(node.log[d] ?? 0, heads[d] ?? 0))) return
    node.historyTerm = begunTerm
    node.caughtUpAtMs = this.nowMs
  }
}
