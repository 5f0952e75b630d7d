import { type Candidacy, isAhead } from '../../src/cluster/candidacy.ts'
import type { Leader, LeaseRecord, LeaseView } from '../../src/cluster/lease/lease.ts'
import type { Effect, Event } from '../../src/cluster/role/role-events.ts'
import { History } from './history.ts'
import { type Bug, DATABASES, linkKey, ModelNode, TTL_MS } from './model-node.ts'

/**
 * A cluster under faults: real role machines around one lease with compare-and-set, streams in which received is not
 * applied, readers, clocks that drift. Acknowledgements wait for nobody (asynchronous replication, no backup).
 */

export const TICK_MS = 40

export class Model {
  readonly nodes: ModelNode[]
  nowMs = 0
  violation: string | undefined
  readonly #bugs: ReadonlySet<Bug>
  #record: LeaseRecord | undefined
  #version = 0
  #isFounded = false
  readonly #candidacies = new Map<number, Candidacy>()
  readonly #history = new History()
  readonly #lost = new Set<number>()
  #lastTerm = 0n
  readonly #acknowledged = new Map<bigint, number>()
  readonly #cuts = new Set<string>()

  constructor(rates: readonly number[], bugs: ReadonlySet<Bug>) {
    this.#bugs = bugs
    this.nodes = rates.map((rate, i) => new ModelNode(i, rate, bugs))
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
    const seen = node.isCutFromStore ? -1 : this.#version
    // A reading without news changes nothing.
    if (node.seenVersion === seen) return
    node.seenVersion = seen
    if (node.isCutFromStore) node.on({ type: 'unreachable', reason: 'no answer' }, this.nowMs)
    else node.on({ type: 'seen', view: this.#viewFor(node) }, this.nowMs)
  }

  /** The next operation on the lease. */
  operate(node: ModelNode): void {
    const effect = node.isLive ? node.operations.shift() : undefined
    if (effect !== undefined) node.on(this.#operated(node, effect), this.nowMs)
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
    to.begun[database] ??= from.log.slice()
    const [there, here] = [from.log[database] ?? 0, to.received[database] ?? 0]
    if (this.#history.has(there, here)) to.received[database] = there === here ? here : this.#history.after(here, there)
    else {
      // Another history: what only this node has is kept aside, and a snapshot replaces it.
      for (let tx = here; tx !== 0 && !this.#history.has(there, tx); tx = this.#history.parent(tx)) to.aside.add(tx)
      to.received[database] = to.log[database] = there
    }
    this.#catchUp(to, from.leads ?? 0n)
    return true
  }

  apply(node: ModelNode, database: number): boolean {
    const [log, received] = [node.log[database] ?? 0, node.received[database] ?? 0]
    if (!node.isLive || node.isBlocked || log === received) return false
    node.log[database] = this.#history.after(log, received)
    if (node.following !== undefined) this.#catchUp(node, node.following.term)
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

  #viewFor(node: ModelNode): LeaseView {
    const record = this.#record
    if (record === undefined) return { kind: 'vacant', heard: this.#isFounded || this.#candidacies.size > 0 }
    if (node.clusterId !== undefined && node.clusterId !== record.clusterId) this.fail('two clusters')
    if (record.term > node.knownTerm) node.knownTerm = record.term
    return { kind: 'record', record, version: String(this.#version) }
  }

  #write(node: ModelNode, record: LeaseRecord): LeaseView {
    this.#record = { ...record, renewals: node.renewals++ }
    this.#version++
    return this.#viewFor(node)
  }

  #operated(node: ModelNode, effect: Effect): Event {
    const sentAtMs = node.at(this.nowMs)
    const isAway = node.isCutFromStore
    const record = this.#record
    const isOwn = (term: bigint) =>
      record?.holder.nodeId === node.address.nodeId && record.term === term && record.state === 'held'
    switch (effect.kind) {
      case 'acquire': {
        if (isAway) return { type: 'acquire-failed', reason: 'no answer' }
        const over = record === undefined ? undefined : String(this.#version)
        if (over !== effect.over) return { type: 'not-acquired', view: this.#viewFor(node) }
        const term = [effect.record?.term ?? 0n, node.knownTerm].reduce((a, b) => (a > b ? a : b)) + 1n
        node.clusterId ??= record?.clusterId ?? term.toString(16).padStart(15, '0') + String(node.index)
        node.previous = effect
        this.#isFounded = true
        const { leader } = effect.previous
        const lastLeader = leader === undefined ? {} : { lastLeader: leader }
        const fixed = { holder: node.address, clusterId: record?.clusterId ?? node.clusterId, ttlMs: TTL_MS }
        const view = this.#write(node, { ...fixed, ...lastLeader, term, state: 'held', renewals: 0 })
        return { type: 'acquired', term, sentAtMs, view }
      }
      case 'renew': {
        const term = node.state.name === 'leading' ? node.state.term : 0n
        if (isAway || node.state.name !== 'leading') return { type: 'renew-failed', term, reason: 'no answer' }
        if (record !== undefined && !isOwn(term)) return { type: 'not-renewed', term, view: this.#viewFor(node) }
        return { type: 'renewed', term, sentAtMs, view: this.#write(node, this.#heldBy(node, term, {})) }
      }
      case 'release': {
        const term = node.ledTerm > (record?.term ?? 0n) ? node.ledTerm : (record?.term ?? 0n)
        if (isAway || !isOwn(term)) return { type: 'released', view: undefined }
        const successor = effect.successor === undefined ? {} : { successor: effect.successor }
        const released = this.#heldBy(node, term, { state: 'released', ...successor }, effect.kept)
        return { type: 'released', view: this.#write(node, released) }
      }
      default:
        throw new Error(effect.kind)
    }
  }

  #heldBy(node: ModelNode, term: bigint, more: Partial<LeaseRecord>, kept: Leader['kept'] = 'unknown'): LeaseRecord {
    const before = node.previous?.kind === 'acquire' ? node.previous.previous.leader : undefined
    const leader: Leader | undefined = node.ledTerm === term ? { term, holder: node.address, kept } : before
    const clusterId = this.#record?.clusterId ?? node.clusterId ?? ''
    const fixed = { term, holder: node.address, state: 'held', clusterId, ttlMs: TTL_MS, renewals: 0 } as const
    return { ...fixed, ...(leader !== undefined && { lastLeader: leader }), ...more }
  }

  #called(node: ModelNode, effect: Effect): Event | undefined {
    switch (effect.kind) {
      case 'follow':
        this.#leave(node)
        node.following = {
          node: this.nodes.findIndex(({ address }) => address.nodeId === effect.primary.nodeId),
          term: effect.term,
        }
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
    if (!node.isBlocked) node.log = node.received.slice()
    if (node.isCutFromStore) return { type: 'stood', of, ahead: undefined }
    const own = node.candidacy(of, (tx) => this.#history.depth(tx))
    this.#candidacies.set(node.index, own)
    if (this.#record === undefined) this.#version++
    let most = own
    for (const other of this.#candidacies.values()) {
      if (other.knownTerm > node.knownTerm) node.knownTerm = other.knownTerm
      if (other.of === of && !other.isUnfit && isAhead(other, most)) most = other
    }
    return { type: 'stood', of, ahead: most === own ? undefined : { nodeId: most.nodeId, hostname: most.hostname } }
  }

  #lead(node: ModelNode, term: bigint): Event {
    const isAborted = node.isAborted
    node.isAborted = false
    this.#leave(node)
    if (isAborted || node.unfit() !== undefined) return { type: 'lead-failed', term, reason: 'held up' }
    const before = node.historyTerm
    node.log = node.received.slice()
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
        if (this.nowMs - other.wellSinceMs < 2 * TTL_MS || !this.#history.has(other.received[database] ?? 0, tx))
          continue
        this.fail('a complete node was passed over for a lagging one')
      }
    }
  }

  #leave(node: ModelNode): void {
    node.following = undefined
    node.begun = []
    if (!this.#bugs.has('received dropped')) return
    for (let d = 0; d < DATABASES; d++) {
      for (let tx = node.received[d] ?? 0; tx !== node.log[d]; tx = this.#history.parent(tx))
        if (!this.nodes.some((other) => other !== node && other.isUp && this.#history.has(other.log[d] ?? 0, tx)))
          this.fail('received, and thrown away without a copy')
    }
    node.received = node.log.slice()
  }

  #catchUp(node: ModelNode, term: bigint): void {
    if (node.begun.length < DATABASES) return
    if (node.begun.every((begun, d) => this.#history.has(node.log[d] ?? 0, begun[d] ?? 0)) && term > node.historyTerm)
      node.historyTerm = term
  }
}
