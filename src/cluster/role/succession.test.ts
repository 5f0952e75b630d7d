import { describe, expect, test } from 'vitest'
import type { Leader } from '../lease/lease.ts'
import { address, held, kinds, Node, OTHER, released, SELF, TTL, VACANT } from '../testing.ts'
import { wakeAtMs } from './role.ts'
import type { Rules } from './role-state.ts'

test('uploads of a silent holder may continue for a while; a released or missing record has none', () => {
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
  // This node's log has all that an earlier process of this node shipped.
  const restarted = new Node()
  restarted.ledTerm = 7n
  restarted.sees(held(SELF))
  expect(previous(restarted)).toMatchObject({ released: false, uploadsMayRunUntilMs: 0 })
})

describe('a node that lacks what a later leader may have committed', () => {
  const leader = (term: bigint, fields: Partial<Leader> = {}): Leader => {
    return { term, holder: OTHER, kept: 'elsewhere', ...fields }
  }
  /** A node that had all of term 5 before it was down. */
  function stale(rules: Partial<Rules> = {}): Node {
    const node = new Node(rules)
    node.historyTerm = 5n
    node.knownTerm = 6n
    return node
  }
  const WAITS = { kind: 'wait-for', leader: expect.objectContaining({ term: 7n }) as object }

  test('does not acquire a lease that such a leader released, or let expire', () => {
    const after = stale()
    expect(after.on({ type: 'seen', view: released({ lastLeader: leader(7n) }) })).toEqual([
      WAITS,
      { kind: 'idle', reason: "not fit to lead: host-2 led later than this node's history reaches" },
    ])
    expect(after.at(TTL * 10)).toEqual([])
    const silent = stale()
    silent.sees(held())
    expect(silent.at(TTL)).toEqual(['wait-for'])
    expect(silent.at(TTL * 10)).toEqual([])
  })

  test('acquires it after it caught up with a node that had everything, or when nobody led since', () => {
    const node = stale()
    node.sees(released({ lastLeader: leader(7n) }))
    expect(node.sees(held(OTHER, { term: 8n }))).toEqual(['wait-for', 'follow'])
    node.historyTerm = 8n
    expect(node.sees(released({ term: 8n, lastLeader: leader(8n) }))).toEqual(['acquire'])
    // Two nodes acquired the lease and could not take over.
    expect(stale().sees(released({ term: 9n, lastLeader: leader(5n) }))).toEqual(['acquire'])
    expect(stale().sees(released({ term: 9n }))).toEqual(['acquire'])
  })

  test('still waits after the record is gone', () => {
    const node = stale()
    node.sees(held())
    node.sees(VACANT)
    expect(node.at(TTL)).toEqual(['wait-for', 'idle'])
    expect(node.at(TTL * 10)).toEqual([])
  })

  test('acquires it when an operator accepts the loss of that leader’s transactions, but of no later leader’s', () => {
    const node = stale()
    node.sees(held())
    expect(kinds(node.on({ type: 'force' }))).toEqual([])
    expect(node.at(TTL)).toEqual(['acquire'])

    const later = stale()
    later.sees(held())
    later.on({ type: 'force' })
    later.sees(held(address(3), { term: 8n }))
    expect(later.at(TTL)).toEqual(['wait-for'])
  })

  test('with a backup lets replicas go first, unless the backup is known to have everything', () => {
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

  test('is every node except the last leader, if only that leader has its transactions', () => {
    const view = released({ lastLeader: leader(7n, { kept: 'alone' }) })
    expect(new Node().sees(view)).toEqual(['wait-for', 'idle'])
    const itself = new Node()
    itself.ledTerm = 7n
    expect(
      itself.sees(
        released({ lastLeader: leader(7n, { kept: 'alone', holder: { ...SELF, url: 'http://127.0.0.1:9' } }) }),
      ),
    ).toEqual(['acquire'])
  })
})

describe('an empty node that finds no record', () => {
  function empty(rules: Partial<Rules> = { found: 'wait' }): Node {
    const node = new Node({ settleMs: 1_000, ...rules })
    node.newcomer = true
    return node
  }

  test('founds a cluster when no node with data has shown for two TTLs', () => {
    const node = empty()
    expect(node.sees({ kind: 'vacant', heard: false })).toEqual(['idle'])
    expect(node.at(2 * TTL - 1)).toEqual([])
    expect(node.at(2 * TTL)).toEqual(['acquire'])
  })

  test('founds none while there are signs of one, however often it has heard of terms', () => {
    for (const rules of [{ found: 'wait' }, { found: 'now' }] as const) {
      const node = empty(rules)
      node.sees({ kind: 'vacant', heard: true })
      expect(node.at(100 * TTL)).toEqual([])
      expect(node.sees(held())).toEqual(['follow'])
      expect(node.sees({ kind: 'vacant', heard: true })).toEqual(['idle'])
      expect(node.at(node.ms + 100 * TTL)).toEqual([])
    }
  })

  test('founds none where it must not, and one at once where it is told to', () => {
    const node = empty({ found: 'never' })
    node.sees(VACANT)
    expect(node.at(100 * TTL)).toEqual([])
    expect(empty({ found: 'now' }).sees(VACANT)).toEqual(['acquire'])
    // A cluster was there a moment ago.
    const witness = empty({ found: 'now' })
    witness.sees(held())
    witness.sees(VACANT)
    expect(witness.at(2 * TTL - 1)).toEqual([])
  })
})

test('a node with data shows itself within a TTL when the record is gone, even if it must not lead, and again', () => {
  const missing = new Node({ settleMs: 1_000 })
  missing.historyTerm = 5n
  missing.sees(held())
  missing.sees(VACANT)
  expect(missing.at(TTL)).toEqual(['wait-for', 'stand'])
  expect(kinds(missing.on({ type: 'stood', of: 'vacant', ahead: [], absent: [] }))).toEqual(['idle'])
  expect(missing.at(2 * TTL - 1)).toEqual([])
  // What it has published may be lost like the record.
  expect(missing.at(2 * TTL)).toEqual(['stand'])
  expect(kinds(missing.on({ type: 'stood', of: 'vacant', ahead: [], absent: [] }))).toEqual([])
  const broken = new Node({ settleMs: 1_000 })
  broken.unfit = 'a.db waits for a snapshot'
  broken.sees(VACANT)
  expect(broken.at(TTL)).toEqual(['stand'])
  const reader = new Node({ settleMs: 1_000, candidate: false })
  reader.sees(VACANT)
  expect(wakeAtMs(reader.state)).toBe(TTL)
  expect(reader.at(TTL)).toEqual(['stand'])
  expect(kinds(reader.on({ type: 'stood', of: 'vacant', ahead: [], absent: [] }))).toEqual(['idle'])
  expect(wakeAtMs(reader.state)).toBe(2 * TTL)
})

describe('the last leader', () => {
  const previous = (node: Node) => (node.state.name === 'acquiring' ? node.state.previous : undefined)
  const mine: Leader = { term: 7n, holder: SELF, kept: 'unknown' }

  test('is still this node when other nodes acquired the lease since but never led', () => {
    const node = new Node()
    node.ledTerm = 7n
    node.sees(released({ term: 12n, lastLeader: mine }))
    expect(previous(node)).toMatchObject({ leader: mine, ledHere: true })
  })

  test('is another node when that node led, or may have led', () => {
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

  test('is who led before this node’s own attempts in which it never led', () => {
    const node = new Node()
    node.ledTerm = 7n
    node.sees(held(SELF, { term: 9n, lastLeader: mine }))
    expect(previous(node)).toMatchObject({ leader: mine, ledHere: true })
  })

  test('is this node when there is no record and no later term is known', () => {
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

test('later holders record the uploads of a silent holder, until these have ended', () => {
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
