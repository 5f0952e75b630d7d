/** For tests of the role: nodes and lease records. */

import { expect } from 'vitest'
import type { LeaseRecord, LeaseView, NodeAddress } from './lease/lease.ts'
import { next } from './role/role.ts'
import type { Effect, Event } from './role/role-events.ts'
import { INITIAL, type Now, type Rules, type State } from './role/role-state.ts'

export const TTL = 10_000
export const address = (n: number): NodeAddress => ({
  nodeId: n.toString(16).padStart(16, '0'),
  hostname: `host-${n}`,
  url: `http://127.0.0.1:${20_000 + n}`,
})
export const SELF = address(1)
export const OTHER = address(2)
const RULES: Rules = {
  self: SELF,
  candidate: true,
  ttlMs: TTL,
  marginMs: 1_000,
  demoteMs: 5_000,
  uploadWindowMs: 3_000,
  hasBackup: false,
  settleMs: 0,
  found: 'now',
  yieldMs: TTL,
}
export const held = (holder = OTHER, fields: Partial<LeaseRecord> = {}): LeaseView => ({
  kind: 'record',
  record: { term: 7n, holder, state: 'held', clusterId: 'c'.repeat(16), ttlMs: TTL, renewals: 0, ...fields },
  version: '100',
})
export const released = (fields: Partial<LeaseRecord> = {}) => held(OTHER, { state: 'released', ...fields })
export const VACANT: LeaseView = { kind: 'vacant' }

/** A node whose clock the test sets. */
export class Node {
  state: State = INITIAL
  ms = 0
  unfit: string | undefined
  newcomer = false
  knownTerm = 7n
  ledTerm = 0n
  historyTerm = 7n
  readonly rules: Rules

  constructor(rules: Partial<Rules> = {}) {
    this.rules = { ...RULES, ...rules }
  }

  get now(): Now {
    const { ms, unfit, newcomer, knownTerm, ledTerm, historyTerm } = this
    return { ms, unfit, newcomer, knownTerm, ledTerm, historyTerm }
  }

  on(event: Event): readonly Effect[] {
    const { state, effects } = next(this.state, event, this.rules, this.now)
    this.state = state
    return effects
  }

  sees(view: LeaseView): string[] {
    return kinds(this.on({ type: 'seen', view }))
  }

  at(ms: number): string[] {
    this.ms = ms
    return kinds(this.on({ type: 'tick' }))
  }

  /** A primary that acquired the lease of term 8 at time 0, without an earlier record. */
  static leading(rules: Partial<Rules> = {}): Node {
    const node = new Node(rules)
    node.newcomer = true
    expect(node.sees(VACANT)).toEqual(['acquire'])
    expect(kinds(node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) }))).toEqual([
      'extend',
      'lead',
    ])
    node.on({ type: 'led', term: 8n })
    expect(node.state).toMatchObject({
      name: 'leading',
      phase: 'serving',
      deadlineMs: node.rules.ttlMs - node.rules.marginMs,
    })
    return node
  }
}

export const kinds = (effects: readonly Effect[]) => effects.map(({ kind }) => kind)
