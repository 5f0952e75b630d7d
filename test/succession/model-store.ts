import type { Candidacy } from '../../src/cluster/candidacy.ts'
import type { Leader, LeaseRecord, LeaseView } from '../../src/cluster/lease/lease.ts'
import { UNHEARD_TERMS } from '../../src/cluster/lease-writes.ts'
import type { Effect, Event } from '../../src/cluster/role/role-events.ts'
import { type ModelNode, TTL_MS } from './model-node.ts'

/** The lease's store of the model: a record with compare-and-set, and what candidates publish beside it. */
export class ModelStore {
  /** Grows with each change that a watcher sees. */
  version = 0
  #record: LeaseRecord | undefined
  #isFounded = false
  readonly #candidacies = new Map<string, Candidacy>()
  readonly #fail: (what: string) => void

  constructor(fail: (what: string) => void) {
    this.#fail = fail
  }

  lose(): void {
    this.#record = undefined
    this.#isFounded = false
    this.#candidacies.clear()
    this.version++
  }

  /** What is there after this was published. */
  published(candidacy: Candidacy): readonly Candidacy[] {
    this.#candidacies.set(candidacy.nodeId, candidacy)
    if (this.#record === undefined) this.version++
    return [...this.#candidacies.values()]
  }

  viewFor(node: ModelNode): LeaseView {
    const record = this.#record
    if (record === undefined) return { kind: 'vacant', heard: this.#isFounded || this.#candidacies.size > 0 }
    if (node.clusterId !== undefined && node.clusterId !== record.clusterId) this.#fail('two clusters')
    if (record.term > node.knownTerm) node.knownTerm = record.term
    return { kind: 'record', record, version: String(this.version) }
  }

  #write(node: ModelNode, record: LeaseRecord): LeaseView {
    this.#isFounded = true
    if (this.#record === undefined) this.#candidacies.clear()
    this.#record = { ...record, renewals: node.renewals++ }
    this.version++
    return this.viewFor(node)
  }

  operate(node: ModelNode, effect: Effect, nowMs: number): Event {
    const sentAtMs = node.at(nowMs)
    const isAway = node.isCutFromStore
    const record = this.#record
    const isOwn = (term: bigint) =>
      record?.holder.nodeId === node.address.nodeId && record.term === term && record.state === 'held'
    switch (effect.kind) {
      case 'acquire': {
        if (isAway) return { type: 'acquire-failed', reason: 'no answer' }
        const over = record === undefined ? undefined : String(this.version)
        if (over !== effect.over) return { type: 'not-acquired', view: this.viewFor(node) }
        const known = [effect.record?.term ?? 0n, node.knownTerm].reduce((a, b) => (a > b ? a : b))
        const term = known + 1n + (record === undefined && node.clusterId !== undefined ? UNHEARD_TERMS : 0n)
        node.clusterId ??= record?.clusterId ?? term.toString(16).padStart(15, '0') + String(node.index)
        node.previous = effect
        const { leader } = effect.previous
        const lastLeader = leader === undefined ? {} : { lastLeader: leader }
        const fixed = { holder: node.address, clusterId: record?.clusterId ?? node.clusterId, ttlMs: TTL_MS }
        const view = this.#write(node, { ...fixed, ...lastLeader, term, state: 'held', renewals: 0 })
        return { type: 'acquired', term, sentAtMs, view }
      }
      case 'renew': {
        const term = node.state.name === 'leading' ? node.state.term : 0n
        if (isAway || node.state.name !== 'leading') return { type: 'renew-failed', term, reason: 'no answer' }
        if (record !== undefined && !isOwn(term)) return { type: 'not-renewed', term, view: this.viewFor(node) }
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
}
