import { describe, expect, test } from 'vitest'
import { address, held, kinds, Node, OTHER, released, SELF, TTL, VACANT } from '../testing.ts'
import { wakeAtMs } from './role.ts'
import type { Rules } from './role-state.ts'

/** What a node does from the request to stop until it ends, so that what was acknowledged is shipped. */

const WITH_BACKUP = { hasBackup: true }
const UNHEARD = { type: 'left', told: false, safe: false } as const
const SAFE = { type: 'left', told: false, safe: true } as const
const STOP = { type: 'stop', byMs: 23_000 } as const

/** A replica of `OTHER` that was told to stop at time 0. */
function stopping(rules: Partial<Rules> = WITH_BACKUP): Node {
  const node = new Node(rules)
  node.sees(held())
  expect(kinds(node.on(STOP))).toEqual(['leave'])
  return node
}

describe('a replica that stops', () => {
  test('tells its leader, and ends when the leader knows', () => {
    const node = stopping()
    expect(wakeAtMs(node.state)).toBe(STOP.byMs)
    expect(kinds(node.on({ type: 'left', told: true, safe: true }))).toEqual(['close'])
  })

  test('without a leader leads once the lease is free, ships, and releases the lease for nobody', () => {
    const node = stopping()
    expect(kinds(node.on(UNHEARD))).toEqual([])
    expect(node.at(TTL)).toEqual(['leave'])
    expect(kinds(node.on(UNHEARD))).toEqual(['acquire'])
    const view = held(SELF, { term: 8n })
    expect(kinds(node.on({ type: 'acquired', term: 8n, sentAtMs: TTL, view }))).toEqual(['extend', 'lead'])
    expect(node.on({ type: 'led', term: 8n })).toEqual([{ kind: 'drain', term: 8n }])
    expect(kinds(node.on({ type: 'drained', term: 8n, kept: 'elsewhere' }))).toEqual(['step-down'])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
    expect(kinds(node.on({ type: 'released', view: undefined }))).toEqual(['close'])
  })

  test('tells the next leader, too', () => {
    const node = stopping()
    node.on(UNHEARD)
    node.ms = 500
    expect(node.sees(held(address(3), { term: 8n }))).toEqual(['follow'])
    expect(node.at(wakeAtMs(node.state))).toEqual(['leave'])
    expect(node.ms).toBe(1_000)
    expect(kinds(node.on({ type: 'left', told: true, safe: true }))).toEqual(['close'])
  })

  test('that was made the successor meanwhile leads before it ends, with and without a backup', () => {
    for (const hasBackup of [true, false]) {
      const node = stopping({ hasBackup })
      expect(kinds(node.on(SAFE))).toEqual([])
      expect(node.sees(released({ successor: SELF.nodeId }))).toEqual(['acquire'])
    }
  })

  test('with nothing that only it has ends without the lease, but not before a leader could have named it', () => {
    const node = stopping()
    expect(kinds(node.on(SAFE))).toEqual([])
    expect(wakeAtMs(node.state)).toBe(1_000)
    expect(node.at(1_000)).toEqual(['close'])
    for (const view of [VACANT, released(), released({ successor: OTHER.nodeId })]) {
      const idle = new Node({ hasBackup: true })
      idle.unfit = 'it waits for a snapshot'
      idle.sees(view)
      idle.on(STOP)
      expect(kinds(idle.on(SAFE))).toEqual(['close'])
    }
  })

  test('acquires no lease while it asks, nor without a backup', () => {
    const asking = stopping()
    expect(asking.at(TTL)).toEqual([])
    const without = stopping({})
    without.on(SAFE)
    expect(without.at(999)).toEqual([])
    expect(without.at(1_000)).toEqual(['close'])
  })

  test('ends when its time is over, whatever it waits for', () => {
    const node = stopping()
    node.unfit = 'a snapshot is missing'
    node.on(UNHEARD)
    for (let i = 0; node.state.name !== 'stopped'; i++) {
      expect(i).toBeLessThan(100)
      const at = wakeAtMs(node.state)
      expect(at).toBeGreaterThan(node.ms)
      expect(at).toBeLessThanOrEqual(STOP.byMs)
      if (node.at(at).includes('leave')) node.on(UNHEARD)
    }
    const unread = new Node(WITH_BACKUP)
    unread.on(STOP)
    unread.on(UNHEARD)
    expect(wakeAtMs(unread.state)).toBe(STOP.byMs)
    expect(unread.at(STOP.byMs)).toEqual(['close'])
  })

  test('that never leads, or whose record is another cluster’s, waits for nothing', () => {
    const node = stopping({ candidate: false })
    expect(kinds(node.on(UNHEARD))).toEqual(['close'])
  })
})

describe('a node that stops while it takes over', () => {
  function takingOver(): Node {
    const node = new Node(WITH_BACKUP)
    node.sees(released())
    node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) })
    expect(node.on(STOP)).toEqual([])
    return node
  }

  test('leads first, because nobody else may have what it has', () => {
    expect(takingOver().on({ type: 'led', term: 8n })).toEqual([{ kind: 'drain', term: 8n }])
  })

  test('tries again soon after a failure, and ends when its time is over', () => {
    const node = takingOver()
    expect(kinds(node.on({ type: 'lead-failed', term: 8n, reason: 'no backup' }))).toEqual(['step-down'])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
    expect(kinds(node.on({ type: 'released', view: released({ holder: SELF, term: 8n }) }))).toEqual(['idle', 'leave'])
    expect(kinds(node.on(UNHEARD))).toEqual([])
    expect(node.at(1_000)).toEqual(['acquire'])

    const late = takingOver()
    while (wakeAtMs(late.state) < STOP.byMs) {
      const sentAtMs = (late.ms = wakeAtMs(late.state))
      late.on({ type: 'tick' })
      late.on({ type: 'renewed', term: 8n, sentAtMs, view: held(SELF, { term: 8n }) })
    }
    expect(late.at(STOP.byMs)).toEqual(['abort', 'step-down'])
    expect(kinds(late.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
    expect(kinds(late.on({ type: 'released', view: undefined }))).toEqual(['close'])
  })
})

test('a leader’s last upload is aborted when its time is over, and the lease is released', () => {
  const node = Node.leading({ ...WITH_BACKUP, ttlMs: Infinity, marginMs: 0 })
  expect(kinds(node.on(STOP))).toEqual(['drain'])
  expect(wakeAtMs(node.state)).toBe(STOP.byMs)
  expect(node.at(STOP.byMs)).toEqual(['abort'])
  expect(wakeAtMs(node.state)).toBe(Infinity)
  expect(kinds(node.on({ type: 'drained', term: 8n, kept: 'alone' }))).toEqual(['step-down'])
})

test('a leader that stops during a handoff that fails ships everything itself', () => {
  const node = Node.leading(WITH_BACKUP)
  node.on({ type: 'handoff', to: OTHER.nodeId })
  node.on(STOP)
  expect(node.on({ type: 'drained', term: 8n, kept: 'unknown' })).toEqual([{ kind: 'drain', term: 8n }])
  expect(kinds(node.on({ type: 'drained', term: 8n, kept: 'elsewhere' }))).toEqual(['step-down'])
})
