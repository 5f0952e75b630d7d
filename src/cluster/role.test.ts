import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClusterMismatchError } from './errors.ts'
import type { Leader, LeaseRecord, LeaseView, NodeAddress } from './lease.ts'
import type { Effect, Event } from './role-events.ts'
import { INITIAL, type Now, type Rules, type State } from './role-state.ts'
import { next, wakeAtMs } from './role.ts'

const TTL = 10_000
const address = (n: number): NodeAddress => ({
  nodeId: n.toString(16).padStart(16, '0'),
  hostname: `host-${n}`,
  url: `http://127.0.0.1:${20_000 + n}`,
})
const SELF = address(1)
const OTHER = address(2)
const RULES: Rules = {
  self: SELF,
  candidate: true,
  ttlMs: TTL,
  marginMs: 1_000,
  demoteMs: 5_000,
  uploadWindowMs: 3_000,
  hasBackup: false,
}
const held = (holder = OTHER, fields: Partial<LeaseRecord> = {}): LeaseView => ({
  kind: 'record',
  record: { term: 7n, holder, state: 'held', clusterId: 'c'.repeat(16), ttlMs: TTL, renewals: 0, ...fields },
  version: '100',
})
const released = (fields: Partial<LeaseRecord> = {}) => held(OTHER, { state: 'released', ...fields })
const VACANT: LeaseView = { kind: 'vacant' }

/** A node whose clock is set by hand; keeps what was asked of it last. */
class Node {
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

  /** A primary in term 8 since 0, by way of an empty key. */
  static leading(rules: Partial<Rules> = {}): Node {
    const node = new Node(rules)
    node.newcomer = true
    expect(node.sees(VACANT)).toEqual(['acquire'])
    expect(kinds(node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) }))).toEqual([
      'extend',
      'lead',
    ])
    node.on({ type: 'led', term: 8n })
    expect(node.state).toMatchObject({ name: 'leading', phase: 'serving', deadlineMs: 9_000 })
    return node
  }
}

const kinds = (effects: readonly Effect[]) => effects.map(({ kind }) => kind)

describe('a record that another holds', () => {
  test('is followed, and taken over only after a whole TTL without a change', () => {
    const node = new Node()
    expect(node.sees(held())).toEqual(['follow'])
    expect(wakeAtMs(node.state)).toBe(TTL)
    expect(node.at(9_999)).toEqual([])
    expect(node.sees(held(OTHER, { renewals: 1 }))).toEqual([])
    expect(node.at(TTL)).toEqual([])
    expect(node.at(9_999 + TTL - 1)).toEqual([])
    expect(node.on({ type: 'tick' })).toEqual([])
    node.ms = 9_999 + TTL
    expect(node.on({ type: 'tick' })).toEqual([
      expect.objectContaining({
        kind: 'acquire',
        over: '100',
        record: expect.objectContaining({ term: 7n }) as object,
      }),
    ])
  })

  test('counts as unchanged when only the place was written to, such as by the end of a session', () => {
    const node = new Node()
    node.sees(held())
    node.ms = 5_000
    expect(node.sees({ ...held(), version: '101' } as LeaseView)).toEqual([])
    node.ms = TTL
    expect(node.on({ type: 'tick' })).toEqual([expect.objectContaining({ kind: 'acquire', over: '101' })])
  })

  test('is silent for the TTL that it names itself', () => {
    const node = new Node()
    node.sees(held(OTHER, { ttlMs: 30_000 }))
    expect(node.at(29_999)).toEqual([])
    expect(node.at(30_000)).toEqual(['acquire'])
  })

  test('is not taken by a node that is no candidate, or unfit, or cannot read the lease', () => {
    const replica = new Node({ candidate: false })
    replica.sees(held())
    expect(replica.at(TTL * 100)).toEqual([])
    expect(wakeAtMs(replica.state)).toBe(Infinity)

    const behind = new Node()
    behind.unfit = 'it never caught up'
    behind.sees(held())
    expect(behind.at(TTL * 2)).toEqual([])
    behind.unfit = undefined
    expect(behind.at(wakeAtMs(behind.state))).toEqual(['acquire'])

    const cut = new Node()
    cut.sees(held())
    expect(kinds(cut.on({ type: 'unreachable', reason: 'no answer' }))).toEqual([])
    expect(cut.at(TTL * 2)).toEqual([])
    expect(cut.sees(held())).toEqual(['acquire'])
  })

  test('is this very node’s: it was lost with the process that wrote it, and is taken at once', () => {
    expect(new Node().sees(held(SELF))).toEqual(['acquire'])
    // A copy of the data directory has the same id, but not the same address.
    const copy = new Node()
    expect(copy.sees(held({ ...SELF, url: 'http://127.0.0.1:9' }))).toEqual(['follow'])
    expect(wakeAtMs(copy.state)).toBe(TTL)
  })
})

describe('a record that says released', () => {
  test('is taken at once by any candidate where it names nobody', () => {
    expect(new Node().sees(released())).toEqual(['acquire'])
    expect(new Node({ candidate: false }).sees(released())).toEqual(['idle'])
  })

  test('is taken at once by its successor, by others after a TTL', () => {
    expect(new Node().sees(released({ successor: SELF.nodeId }))).toEqual(['acquire'])
    const node = new Node()
    expect(node.sees(released({ successor: address(3).nodeId }))).toEqual(['idle'])
    expect(node.at(TTL - 1)).toEqual([])
    expect(node.at(TTL)).toEqual(['acquire'])
  })
})

describe('no record at all', () => {
  test('is taken at once by an empty node', () => {
    const node = new Node()
    node.newcomer = true
    expect(node.sees(VACANT)).toEqual(['acquire'])
  })

  test('may hide a primary that lives: a node with a history waits a TTL', () => {
    const node = new Node()
    expect(node.sees(VACANT)).toEqual(['idle'])
    expect(node.at(TTL - 1)).toEqual([])
    expect(node.at(TTL)).toEqual(['acquire'])

    const witness = new Node()
    witness.newcomer = true
    witness.sees(held())
    witness.ms = 1_000
    expect(witness.sees(VACANT)).toEqual(['idle'])
    expect(witness.at(TTL)).toEqual([])
    expect(witness.at(TTL + 1_000)).toEqual(['acquire'])
  })
})

test('a foreign record, and one of another cluster, is never taken over', () => {
  const node = new Node()
  const error = new ClusterMismatchError('a', 'b')
  expect(node.on({ type: 'seen', view: { kind: 'foreign', error } })).toEqual([{ kind: 'idle', reason: error.message }])
  expect(node.at(TTL * 10)).toEqual([])
  expect(node.sees(released())).toEqual(['acquire'])
})

test('uploads of a silent holder may go on for a while; those of a released one and of nobody do not', () => {
  const previous = (node: Node) => (node.state.name === 'acquiring' ? node.state.previous : undefined)
  const silent = new Node()
  silent.sees(held())
  silent.at(TTL)
  expect(previous(silent)).toMatchObject({ released: false, uploadsMayRunUntilMs: TTL + 3_000 })
  const after = new Node()
  after.sees(released())
  expect(previous(after)).toMatchObject({ released: true, uploadsMayRunUntilMs: 0 })
  const first = new Node()
  first.newcomer = true
  first.sees(VACANT)
  expect(previous(first)).toMatchObject({ released: false, uploadsMayRunUntilMs: 0 })
  // What a process of this node shipped before it died is in this node's own log.
  const restarted = new Node()
  restarted.ledTerm = 7n
  restarted.sees(held(SELF))
  expect(previous(restarted)).toMatchObject({ released: false, uploadsMayRunUntilMs: 0 })
})

describe('a node that lacks what a later leader may have committed', () => {
  const leader = (term: bigint, fields: Partial<Leader> = {}): Leader => {
    return { term, holder: OTHER, kept: 'elsewhere', ...fields }
  }
  /** Had all of term 5 before it was down. */
  function stale(rules: Partial<Rules> = {}): Node {
    const node = new Node(rules)
    node.historyTerm = 5n
    node.knownTerm = 6n
    return node
  }
  const MISSES = { kind: 'misses', leader: expect.objectContaining({ term: 7n }) as object }

  test('does not take the lease that one released, nor one that expired', () => {
    const after = stale()
    expect(after.on({ type: 'seen', view: released({ lastLeader: leader(7n) }) })).toEqual([
      MISSES,
      { kind: 'idle', reason: 'not fit to lead: host-2 led after all that is here' },
    ])
    expect(after.at(TTL * 10)).toEqual([])
    const silent = stale()
    silent.sees(held())
    expect(silent.at(TTL)).toEqual(['misses'])
    expect(silent.at(TTL * 10)).toEqual([])
  })

  test('takes it when it has caught up with one that had it, or where nobody led since', () => {
    const node = stale()
    node.sees(released({ lastLeader: leader(7n) }))
    expect(node.sees(held(OTHER, { term: 8n }))).toEqual(['misses', 'follow'])
    node.historyTerm = 8n
    expect(node.sees(released({ term: 8n, lastLeader: leader(8n) }))).toEqual(['acquire'])
    // Two nodes had it and could not take over.
    expect(stale().sees(released({ term: 9n, lastLeader: leader(5n) }))).toEqual(['acquire'])
    expect(stale().sees(released({ term: 9n }))).toEqual(['acquire'])
  })

  test('knows also after the record is gone', () => {
    const node = stale()
    node.sees(held())
    node.sees(VACANT)
    expect(node.at(TTL)).toEqual(['misses', 'idle'])
    expect(node.at(TTL * 10)).toEqual([])
  })

  test('takes it when an operator accepts the loss, of that leader’s and of no later one’s', () => {
    const node = stale()
    node.sees(held())
    expect(kinds(node.on({ type: 'force' }))).toEqual([])
    expect(node.at(TTL)).toEqual(['acquire'])

    const later = stale()
    later.sees(held())
    later.on({ type: 'force' })
    later.sees(held(address(3), { term: 8n }))
    expect(later.at(TTL)).toEqual(['misses'])
  })

  test('lets others go first where it has a backup to get it from, unless all is known to be there', () => {
    const after = stale({ hasBackup: true })
    expect(after.sees(released({ lastLeader: leader(7n) }))).toEqual(['acquire'])
    for (const kept of ['alone', 'unknown'] as const) {
      const node = stale({ hasBackup: true })
      expect(node.sees(released({ lastLeader: leader(7n, { kept }) }))).toEqual(['idle'])
      expect(node.at(TTL - 1)).toEqual([])
      expect(node.at(TTL)).toEqual(['acquire'])
    }
    const silent = stale({ hasBackup: true })
    silent.sees(held())
    expect(silent.at(2 * TTL - 1)).toEqual([])
    expect(silent.at(2 * TTL)).toEqual(['acquire'])
  })

  test('is every other one where the last leader stopped with what nobody else has', () => {
    const view = released({ lastLeader: leader(7n, { kept: 'alone' }) })
    expect(new Node().sees(view)).toEqual(['misses', 'idle'])
    const itself = new Node()
    itself.ledTerm = 7n
    expect(
      itself.sees(
        released({ lastLeader: leader(7n, { kept: 'alone', holder: { ...SELF, url: 'http://127.0.0.1:9' } }) }),
      ),
    ).toEqual(['acquire'])
  })
})

describe('who led last', () => {
  const previous = (node: Node) => (node.state.name === 'acquiring' ? node.state.previous : undefined)
  const mine: Leader = { term: 7n, holder: SELF, kept: 'unknown' }

  test('is still this node when others could not take over since, however many terms that took', () => {
    const node = new Node()
    node.ledTerm = 7n
    node.sees(released({ term: 12n, lastLeader: mine }))
    expect(previous(node)).toMatchObject({ leader: mine, ledHere: true })
  })

  test('is not this node when one of them could, or may have', () => {
    const after = new Node()
    after.ledTerm = 7n
    after.historyTerm = 8n
    after.sees(released({ term: 8n, lastLeader: { ...mine, term: 8n, holder: OTHER } }))
    expect(previous(after)).toMatchObject({ ledHere: false })
    const silent = new Node({ hasBackup: true })
    silent.ledTerm = 7n
    silent.sees(held(OTHER, { term: 8n, lastLeader: mine }))
    silent.at(2 * TTL)
    expect(previous(silent)).toMatchObject({ leader: { term: 8n, holder: OTHER }, ledHere: false })
  })

  test('is who led before this node’s own attempts, which it knows came to nothing', () => {
    const node = new Node()
    node.ledTerm = 7n
    node.sees(held(SELF, { term: 9n, lastLeader: mine }))
    expect(previous(node)).toMatchObject({ leader: mine, ledHere: true })
  })

  test('is this node where no record says anything, and nobody later was ever seen', () => {
    for (const [knownTerm, ledHere] of [
      [7n, true],
      [8n, false],
    ] as const) {
      const node = new Node()
      Object.assign(node, { ledTerm: 7n, knownTerm })
      node.sees(VACANT)
      node.at(TTL)
      expect(previous(node)).toMatchObject({ ledHere })
    }
  })
})

test('uploads of a silent holder are remembered by whoever had the lease since, until they have ended', () => {
  const node = new Node()
  node.sees(held())
  node.at(TTL)
  node.on({ type: 'acquired', term: 8n, sentAtMs: TTL, view: held(SELF, { term: 8n }) })
  node.on({ type: 'lead-failed', term: 8n, reason: 'no backup' })
  expect(node.on({ type: 'stepped-down', clean: true })).toEqual([
    { kind: 'release', kept: 'unknown', uploadsMayRunUntilMs: TTL + 3_000 },
  ])
  const next = new Node()
  next.ms = 500
  next.sees(released({ term: 8n, uploadsMayRunMs: 2_900 }))
  expect(next.state).toMatchObject({ name: 'acquiring', previous: { uploadsMayRunUntilMs: 3_400 } })
})

describe('a primary', () => {
  test('renews after a third of the TTL, and its deadline counts from before it sent that', () => {
    const node = Node.leading()
    expect(node.at(3_333)).toEqual([])
    expect(node.at(3_334)).toEqual(['renew'])
    node.ms = 5_000
    expect(
      node.on({ type: 'renewed', term: 8n, sentAtMs: 3_334, view: held(SELF, { term: 8n, renewals: 1 }) }),
    ).toEqual([{ kind: 'extend', deadlineMs: 3_334 + 9_000 }])
  })

  test('goes on until its deadline when it cannot renew, then steps down, and takes it again when it can', () => {
    const node = Node.leading()
    for (let ms = 3_334; ms < 9_000; ms = Math.max(node.ms + 1, wakeAtMs(node.state))) {
      expect(node.at(ms)).toEqual(['renew'])
      node.on({ type: 'renew-failed', term: 8n, reason: 'no answer' })
    }
    expect(node.at(9_000)).toEqual(['fence', 'abort', 'step-down'])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['idle'])
    expect(node.at(20_000)).toEqual([])
    expect(node.sees(held(SELF, { term: 8n }))).toEqual(['acquire'])
  })

  test('that was stopped beyond its deadline does not believe in a renewal that arrives late', () => {
    const node = Node.leading()
    node.at(3_334)
    node.ms = 9_001
    const late: Event = { type: 'renewed', term: 8n, sentAtMs: 3_334, view: held(SELF, { term: 8n, renewals: 1 }) }
    expect(kinds(node.on(late))).toEqual(['fence', 'abort', 'step-down'])
  })

  test('is none where acquiring took so long that it is over: the next attempt follows', () => {
    const node = new Node()
    node.sees(released())
    node.ms = 9_000
    expect(kinds(node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) }))).toEqual([
      'idle',
    ])
    expect(node.at(wakeAtMs(node.state))).toEqual(['acquire'])
  })

  test('whose lease is another’s steps down before its deadline', () => {
    const node = Node.leading()
    node.at(3_334)
    expect(kinds(node.on({ type: 'not-renewed', term: 8n, view: held(OTHER, { term: 9n }) }))).toEqual([
      'fence',
      'abort',
      'step-down',
    ])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['follow'])
  })

  test('that reads something odd asks by renewing', () => {
    for (const view of [VACANT, held(), held(OTHER, { term: 9n })]) {
      const node = Node.leading()
      expect(node.sees(view)).toEqual(['renew'])
      expect(node.sees(view)).toEqual([])
    }
  })

  test('that cannot take over gives the lease up, and leaves it to others for a while', () => {
    const node = new Node()
    node.sees(released())
    node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) })
    expect(kinds(node.on({ type: 'lead-failed', term: 8n, reason: 'no backup' }))).toEqual(['step-down'])
    expect(node.on({ type: 'stepped-down', clean: true })).toEqual([
      { kind: 'release', kept: 'unknown', uploadsMayRunUntilMs: 0 },
    ])
    expect(kinds(node.on({ type: 'released', view: { ...released({ term: 8n, holder: SELF }) } }))).toEqual(['idle'])
    expect(node.at(4_999)).toEqual([])
    expect(node.at(5_000)).toEqual(['acquire'])
  })

  test('that could not step down does not say that it released the lease', () => {
    const node = Node.leading()
    node.on({ type: 'stop' })
    node.on({ type: 'drained', term: 8n, successor: OTHER.nodeId, kept: 'elsewhere' })
    expect(kinds(node.on({ type: 'stepped-down', clean: false }))).toEqual(['close'])
  })
})

describe('giving the lease to another', () => {
  test('drains, steps down, releases for it, and leaves it alone', () => {
    const node = Node.leading()
    expect(node.on({ type: 'handoff', to: OTHER.nodeId })).toEqual([{ kind: 'drain', term: 8n, to: OTHER.nodeId }])
    expect(node.at(3_334)).toEqual(['renew'])
    expect(kinds(node.on({ type: 'drained', term: 8n, successor: OTHER.nodeId, kept: 'elsewhere' }))).toEqual([
      'step-down',
    ])
    expect(node.on({ type: 'stepped-down', clean: true })).toEqual([
      expect.objectContaining({ kind: 'release', successor: OTHER.nodeId, kept: 'elsewhere' }),
    ])
    const view = held(SELF, { term: 8n, state: 'released', successor: OTHER.nodeId })
    expect(kinds(node.on({ type: 'released', view }))).toEqual(['idle'])
    expect(node.sees(held(OTHER, { term: 9n }))).toEqual(['follow'])
  })

  test('does not happen when that node does not catch up', () => {
    const node = Node.leading()
    node.on({ type: 'handoff', to: OTHER.nodeId })
    expect(node.on({ type: 'drained', term: 8n, successor: undefined, kept: 'elsewhere' })).toEqual([])
    expect(node.state).toMatchObject({ name: 'leading', phase: 'serving' })
  })

  test('ends with the lease when that goes first', () => {
    const node = Node.leading()
    node.on({ type: 'handoff', to: OTHER.nodeId })
    expect(node.at(9_000)).toEqual(['fence', 'abort', 'step-down'])
    expect(node.on({ type: 'drained', term: 8n, successor: OTHER.nodeId, kept: 'elsewhere' })).toEqual([])
    expect(node.state).toMatchObject({ name: 'yielding', release: undefined })
  })
})

describe('a stop', () => {
  test('of a primary drains, steps down, releases, closes', () => {
    const node = Node.leading()
    expect(node.on({ type: 'stop' })).toEqual([{ kind: 'drain', term: 8n }])
    expect(kinds(node.on({ type: 'drained', term: 8n, successor: undefined, kept: 'elsewhere' }))).toEqual([
      'step-down',
    ])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
    expect(kinds(node.on({ type: 'released', view: undefined }))).toEqual(['close'])
    expect(node.state.name).toBe('stopped')
  })

  test('comes at any time', () => {
    const taking = new Node()
    taking.sees(released())
    expect(taking.on({ type: 'stop' })).toEqual([])
    const view = held(SELF, { term: 8n })
    expect(kinds(taking.on({ type: 'acquired', term: 8n, sentAtMs: 0, view }))).toEqual(['release'])

    const racing = new Node()
    racing.sees(released())
    racing.on({ type: 'stop' })
    expect(kinds(racing.on({ type: 'not-acquired', view: held() }))).toEqual(['close'])

    const following = new Node()
    following.sees(held())
    expect(kinds(following.on({ type: 'stop' }))).toEqual(['close'])
  })

  test('while it takes over ends that first', () => {
    const node = new Node()
    node.sees(released())
    node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) })
    expect(kinds(node.on({ type: 'stop' }))).toEqual(['abort', 'step-down'])
    expect(node.on({ type: 'lead-failed', term: 8n, reason: 'aborted' })).toEqual([])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
  })
})

test('a lease without end has no deadline and is never renewed', () => {
  const node = new Node({ ttlMs: Infinity, marginMs: 0 })
  node.sees(released({ ttlMs: Infinity, term: 0n }))
  expect(node.on({ type: 'acquired', term: 1n, sentAtMs: 0, view: held(SELF, { ttlMs: Infinity, term: 1n }) })).toEqual(
    [{ kind: 'extend', deadlineMs: Infinity }, expect.objectContaining({ kind: 'lead' })],
  )
  node.on({ type: 'led', term: 1n })
  expect(wakeAtMs(node.state)).toBe(Infinity)
  expect(node.at(1e12)).toEqual([])
})

/**
 * Any sequence of events, in any order, with a clock that stands still or leaps: what is asked for never contradicts the rules.
 */
describe('I6, whatever happens', () => {
  const someView = fc.oneof(
    fc.constant(VACANT),
    fc.record({
      kind: fc.constant('record' as const),
      version: fc.string({ minLength: 1, maxLength: 2 }),
      record: fc.record({
        term: fc.bigInt({ min: 1n, max: 12n }),
        holder: fc.constantFrom(SELF, OTHER, address(3), { ...SELF, url: 'http://127.0.0.1:1' }),
        state: fc.constantFrom('held' as const, 'released' as const),
        successor: fc.constantFrom(SELF.nodeId, OTHER.nodeId),
        lastLeader: fc.record({
          term: fc.bigInt({ min: 1n, max: 12n }),
          holder: fc.constantFrom(SELF, OTHER),
          kept: fc.constantFrom('elsewhere' as const, 'alone' as const, 'unknown' as const),
        }),
        clusterId: fc.constant('c'.repeat(16)),
        ttlMs: fc.constantFrom(2_000, TTL),
        renewals: fc.nat(2),
      }),
    }),
    fc.constant<LeaseView>({ kind: 'foreign', error: new ClusterMismatchError('a', 'b') }),
  )
  const term = fc.bigInt({ min: 1n, max: 12n })
  const agoMs = fc.nat(6_000)
  const command = fc.record({
    passMs: fc.oneof(fc.constant(0), fc.nat(4_000), fc.nat(15_000)),
    /** Instead: to when the state asks to be woken, or just beside it. */
    toWakeMs: fc.option(fc.integer({ min: -1, max: 1 }), { nil: undefined, freq: 2 }),
    unfit: fc.option(fc.constant('behind'), { nil: undefined, freq: 5 }),
    newcomer: fc.boolean(),
    historyTerm: fc.bigInt({ min: 0n, max: 12n }),
    ledTerm: fc.bigInt({ min: 0n, max: 12n }),
    event: fc.oneof(
      fc.record({ type: fc.constant('seen' as const), view: someView }),
      fc.record({ type: fc.constant('unreachable' as const), reason: fc.constant('no answer') }),
      fc.constant({ type: 'tick' as const }),
      fc.constant({ type: 'not-told' as const }),
      fc.constant({ type: 'force' as const }),
      fc.record({ type: fc.constant('acquired' as const), term, sentAtMs: agoMs, view: someView }),
      fc.record({ type: fc.constant('not-acquired' as const), view: someView }),
      fc.record({ type: fc.constant('acquire-failed' as const), reason: fc.constant('no answer') }),
      fc.record({ type: fc.constant('renewed' as const), term, sentAtMs: agoMs, view: someView }),
      fc.record({ type: fc.constant('not-renewed' as const), term, view: someView }),
      fc.record({ type: fc.constant('renew-failed' as const), term, reason: fc.constant('no answer') }),
      fc.record({ type: fc.constant('led' as const), term }),
      fc.record({ type: fc.constant('lead-failed' as const), term, reason: fc.constant('x') }),
      fc.record({ type: fc.constant('handoff' as const), to: fc.constantFrom(OTHER.nodeId, address(3).nodeId) }),
      fc.record({
        type: fc.constant('drained' as const),
        term,
        successor: fc.constantFrom(undefined, OTHER.nodeId, address(3).nodeId),
        kept: fc.constantFrom('elsewhere' as const, 'alone' as const),
      }),
      fc.record({ type: fc.constant('stepped-down' as const), clean: fc.boolean() }),
      fc.record({ type: fc.constant('released' as const), view: fc.option(someView, { nil: undefined }) }),
    ),
    /** Whether it is what mostly comes in that state instead. */
    fitting: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  })

  test.each([
    [true, false],
    [true, true],
    [false, false],
  ])('candidate: %s, with a backup: %s', { timeout: 60_000 }, (candidate, hasBackup) => {
    let ledSteps = 0
    fc.assert(
      fc.property(fc.array(command, { minLength: 20, maxLength: 60, size: 'max' }), (commands) => {
        const node = new Node({ candidate, hasBackup })
        node.ms = 100_000
        let deadlineMs = -Infinity
        let leading = false
        let last: { view: LeaseView; sinceMs: number } | undefined
        let known = false
        let forced = false
        for (const { passMs, toWakeMs, unfit, newcomer, historyTerm, ledTerm, event: wild, fitting } of commands) {
          const wakeMs = wakeAtMs(node.state)
          if (toWakeMs === undefined || wakeMs === Infinity) node.ms += passMs
          else node.ms = Math.max(node.ms, wakeMs + toWakeMs)
          node.unfit = unfit
          Object.assign(node, { newcomer, historyTerm, ledTerm })
          const before = node.state
          let event: Event = 'sentAtMs' in wild ? { ...wild, sentAtMs: node.ms - wild.sentAtMs } : wild
          if (fitting) event = fittingAnswer(before, event, node.ms)
          const effects = node.on(event)
          if (event.type === 'force') forced = true
          const { state } = node

          if ('view' in event && event.view !== undefined && before.name !== 'stopped') {
            const taken = state.seen?.view === event.view
            if (taken) {
              const same = last !== undefined && sameText(last.view, event.view)
              last = { view: event.view, sinceMs: same ? (last?.sinceMs ?? 0) : node.ms }
            }
          }

          for (const effect of effects) {
            if (effect.kind === 'extend') {
              expect(effect.deadlineMs).toBeGreaterThan(node.ms)
              if (event.type !== 'acquired' && event.type !== 'renewed')
                expect.unreachable('an extension out of nothing')
              expect(effect.deadlineMs).toBe(('sentAtMs' in event ? event.sentAtMs : 0) + TTL - 1_000)
              deadlineMs = effect.deadlineMs
            }
            if (effect.kind === 'lead') {
              expect(leading).toBe(false)
              expect(deadlineMs).toBeGreaterThan(node.ms)
              leading = true
            }
            if (effect.kind === 'step-down') {
              expect(leading).toBe(true)
              leading = false
            }
            if (effect.kind === 'follow' || effect.kind === 'idle' || effect.kind === 'acquire') {
              expect(leading).toBe(false)
            }
            if (effect.kind === 'acquire') {
              expect(candidate).toBe(true)
              expect(unfit).toBeUndefined()
              checkAcquire(node, last, known)
              if (!hasBackup && !forced) checkHistory(node, last?.view)
            }
          }
          if (state.seen !== undefined && state.seen.view.kind !== 'vacant') known = true
          // No event leaves a node leading past its deadline; without one, its timer is due by then.
          if (state.name === 'leading') {
            ledSteps++
            expect(node.ms).toBeLessThan(state.deadlineMs)
            expect(state.deadlineMs).toBe(deadlineMs)
            expect(wakeAtMs(state)).toBeLessThanOrEqual(state.deadlineMs)
          }
          expect(leading).toBe(state.name === 'leading')
        }
      }),
      { numRuns: 1_000 },
    )
    // Or the runs would show nothing.
    if (candidate) expect(ledSteps).toBeGreaterThan(2_000)
    else expect(ledSteps).toBe(0)
  })

  /** What mostly comes next in a state, so that runs get beyond the first. */
  function fittingAnswer(state: State, wild: Event, ms: number): Event {
    const term = 'term' in state ? state.term : 1n
    if (state.name === 'acquiring')
      return { type: 'acquired', term: 5n, sentAtMs: ms - 10, view: held(SELF, { term: 5n }) }
    if (state.name === 'yielding') return { type: 'stepped-down', clean: true }
    if (state.name === 'releasing') return { type: 'released', view: undefined }
    if (state.name === 'leading' && state.renewing && wild.type === 'seen') {
      return { type: 'renewed', term, sentAtMs: ms - 10, view: held(SELF, { term }) }
    }
    if (state.name === 'standing-by' && wild.type !== 'seen') return { type: 'tick' }
    return 'term' in wild ? { ...wild, term } : wild
  }

  function sameText(a: LeaseView, b: LeaseView): boolean {
    const text = (view: LeaseView) => {
      if (view.kind !== 'record') return view.kind
      const { term, state, renewals, holder } = view.record
      return [String(term), state, renewals, holder.nodeId].join()
    }
    return text(a) === text(b)
  }

  /** Nobody leads who lacks what another may have committed since. */
  function checkHistory({ ledTerm, historyTerm }: Node, view: LeaseView | undefined): void {
    if (view?.kind !== 'record') return
    const { state, term, holder, lastLeader } = view.record
    // It is where it was, or it led itself, wherever it was then.
    const isOwn = holder.nodeId === SELF.nodeId && (holder.url === SELF.url || ledTerm === term)
    if (state === 'held' && !isOwn) expect(historyTerm).toBeGreaterThanOrEqual(term)
    if (state !== 'released' || lastLeader === undefined) return
    if (lastLeader.holder.nodeId === SELF.nodeId && lastLeader.term === ledTerm) return
    expect(historyTerm).toBeGreaterThanOrEqual(lastLeader.term)
    expect(lastLeader.kept).not.toBe('alone')
  }

  function checkAcquire(node: Node, last: { view: LeaseView; sinceMs: number } | undefined, known: boolean): void {
    expect(last).toBeDefined()
    const { view, sinceMs } = last ?? { view: VACANT, sinceMs: 0 }
    expect(view.kind).not.toBe('foreign')
    // Thirds of a TTL do not add up to the last bit.
    const silentMs = node.ms - sinceMs + 1e-6
    if (view.kind !== 'record') {
      if (!node.newcomer || known) expect(silentMs).toBeGreaterThanOrEqual(TTL)
      return
    }
    const { record } = view
    if (record.state === 'released') {
      if (record.successor !== SELF.nodeId) expect(silentMs).toBeGreaterThanOrEqual(record.ttlMs)
    } else if (record.holder.nodeId !== SELF.nodeId || record.holder.url !== SELF.url) {
      expect(silentMs).toBeGreaterThanOrEqual(record.ttlMs)
    }
  }
})
