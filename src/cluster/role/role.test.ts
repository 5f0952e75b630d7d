import { describe, expect, test } from 'vitest'
import { ClusterMismatchError } from '../lease/errors.ts'
import type { LeaseView } from '../lease/lease.ts'
import { address, held, kinds, Node, OTHER, released, SELF, TTL, VACANT } from '../testing.ts'
import { wakeAtMs } from './role.ts'
import type { Event } from './role-events.ts'

describe('a record of another holder', () => {
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

  test('counts as unchanged when only its version changed, such as at the end of a session', () => {
    const node = new Node()
    node.sees(held())
    node.ms = 5_000
    expect(node.sees({ ...held(), version: '101' } as LeaseView)).toEqual([])
    node.ms = TTL
    expect(node.on({ type: 'tick' })).toEqual([expect.objectContaining({ kind: 'acquire', over: '101' })])
  })

  test('expires after the TTL that it contains', () => {
    const node = new Node()
    node.sees(held(OTHER, { ttlMs: 30_000 }))
    expect(node.at(29_999)).toEqual([])
    expect(node.at(30_000)).toEqual(['acquire'])
  })

  test('is not taken over by a node that is not a candidate, is unfit, or cannot read the lease', () => {
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

  test('is taken over at once when it is this node’s own, from a process that has ended', () => {
    expect(new Node().sees(held(SELF))).toEqual(['acquire'])
    // A copy of the data directory has the same id, but not the same address.
    const copy = new Node()
    expect(copy.sees(held({ ...SELF, url: 'http://127.0.0.1:9' }))).toEqual(['follow'])
    expect(wakeAtMs(copy.state)).toBe(TTL)
  })
})

describe('a released record', () => {
  test('is taken over at once by any candidate when it names no successor', () => {
    expect(new Node().sees(released())).toEqual(['acquire'])
    expect(new Node({ candidate: false }).sees(released())).toEqual(['idle'])
  })

  test('is taken over by its successor at once, and by others after a TTL', () => {
    expect(new Node().sees(released({ successor: SELF.nodeId }))).toEqual(['acquire'])
    const node = new Node()
    expect(node.sees(released({ successor: address(3).nodeId }))).toEqual(['idle'])
    expect(node.at(TTL - 1)).toEqual([])
    expect(node.at(TTL)).toEqual(['acquire'])
  })
})

describe('a missing record', () => {
  test('lets an empty node acquire the lease at once', () => {
    const node = new Node()
    node.newcomer = true
    expect(node.sees(VACANT)).toEqual(['acquire'])
  })

  test('may hide a live primary: a node with a history waits for a TTL', () => {
    const node = new Node()
    expect(node.sees(VACANT)).toEqual(['idle'])
    expect(node.at(TTL - 1)).toEqual([])
    expect(node.at(TTL)).toEqual(['acquire'])

    const witness = new Node()
    witness.newcomer = true
    witness.sees(held())
    witness.ms = 1_000
    expect(witness.sees(VACANT)).toEqual(['idle'])
    expect(witness.at(2 * TTL + 999)).toEqual([])
    expect(witness.at(2 * TTL + 1_000)).toEqual(['acquire'])
  })
})

test('a foreign record, or one of another cluster, is never taken over', () => {
  const node = new Node()
  const error = new ClusterMismatchError('a', 'b')
  expect(node.on({ type: 'seen', view: { kind: 'foreign', error } })).toEqual([{ kind: 'idle', reason: error.message }])
  expect(node.at(TTL * 10)).toEqual([])
  expect(node.sees(released())).toEqual(['acquire'])
})

describe('a primary', () => {
  test('renews after a third of the TTL, and its deadline counts from before the write was sent', () => {
    const node = Node.leading()
    expect(node.at(3_333)).toEqual([])
    expect(node.at(3_334)).toEqual(['renew'])
    node.ms = 5_000
    expect(
      node.on({ type: 'renewed', term: 8n, sentAtMs: 3_334, view: held(SELF, { term: 8n, renewals: 1 }) }),
    ).toEqual([{ kind: 'extend', deadlineMs: 3_334 + 9_000 }])
  })

  test('that cannot renew leads until its deadline, steps down, and acquires the lease again when it can', () => {
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

  test('that was suspended beyond its deadline ignores a late renewal', () => {
    const node = Node.leading()
    node.at(3_334)
    node.ms = 9_001
    const late: Event = { type: 'renewed', term: 8n, sentAtMs: 3_334, view: held(SELF, { term: 8n, renewals: 1 }) }
    expect(kinds(node.on(late))).toEqual(['fence', 'abort', 'step-down'])
  })

  test('does not lead when acquiring took until the deadline, and tries again', () => {
    const node = new Node()
    node.sees(released())
    node.ms = 9_000
    expect(kinds(node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) }))).toEqual([
      'idle',
    ])
    expect(node.at(wakeAtMs(node.state))).toEqual(['acquire'])
  })

  test('whose lease another node holds steps down before its deadline', () => {
    const node = Node.leading()
    node.at(3_334)
    expect(kinds(node.on({ type: 'not-renewed', term: 8n, view: held(OTHER, { term: 9n }) }))).toEqual([
      'fence',
      'abort',
      'step-down',
    ])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['follow'])
  })

  test('that reads another record renews to find out', () => {
    for (const view of [VACANT, held(), held(OTHER, { term: 9n })]) {
      const node = Node.leading()
      expect(node.sees(view)).toEqual(['renew'])
      expect(node.sees(view)).toEqual([])
    }
  })

  test('that cannot take over releases the lease, and does not acquire it for a while', () => {
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

  test('that could not step down does not release the lease', () => {
    const node = Node.leading()
    node.on({ type: 'stop' })
    node.on({ type: 'drained', term: 8n, successor: OTHER.nodeId, kept: 'elsewhere' })
    expect(kinds(node.on({ type: 'stepped-down', clean: false }))).toEqual(['close'])
  })
})

describe('a handoff', () => {
  test('drains, steps down, releases the lease for the successor, and does not acquire it again', () => {
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

  test('does not happen when the successor does not catch up', () => {
    const node = Node.leading()
    node.on({ type: 'handoff', to: OTHER.nodeId })
    expect(node.on({ type: 'drained', term: 8n, successor: undefined, kept: 'elsewhere' })).toEqual([])
    expect(node.state).toMatchObject({ name: 'leading', phase: 'serving' })
  })

  test('ends when the lease expires first', () => {
    const node = Node.leading()
    node.on({ type: 'handoff', to: OTHER.nodeId })
    expect(node.at(9_000)).toEqual(['fence', 'abort', 'step-down'])
    expect(node.on({ type: 'drained', term: 8n, successor: OTHER.nodeId, kept: 'elsewhere' })).toEqual([])
    expect(node.state).toMatchObject({ name: 'yielding', release: undefined })
  })
})

describe('a stop', () => {
  test('of a primary drains, steps down, releases the lease and closes', () => {
    const node = Node.leading()
    expect(node.on({ type: 'stop' })).toEqual([{ kind: 'drain', term: 8n }])
    expect(kinds(node.on({ type: 'drained', term: 8n, successor: undefined, kept: 'elsewhere' }))).toEqual([
      'step-down',
    ])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
    expect(kinds(node.on({ type: 'released', view: undefined }))).toEqual(['close'])
    expect(node.state.name).toBe('stopped')
  })

  test('can come in any state', () => {
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

  test('during a take-over aborts the take-over first', () => {
    const node = new Node()
    node.sees(released())
    node.on({ type: 'acquired', term: 8n, sentAtMs: 0, view: held(SELF, { term: 8n }) })
    expect(kinds(node.on({ type: 'stop' }))).toEqual(['abort', 'step-down'])
    expect(node.on({ type: 'lead-failed', term: 8n, reason: 'aborted' })).toEqual([])
    expect(kinds(node.on({ type: 'stepped-down', clean: true }))).toEqual(['release'])
  })
})

test('a lease that does not expire has no deadline and is never renewed', () => {
  const node = new Node({ ttlMs: Infinity, marginMs: 0 })
  node.sees(released({ ttlMs: Infinity, term: 0n }))
  expect(node.on({ type: 'acquired', term: 1n, sentAtMs: 0, view: held(SELF, { ttlMs: Infinity, term: 1n }) })).toEqual(
    [{ kind: 'extend', deadlineMs: Infinity }, expect.objectContaining({ kind: 'lead' })],
  )
  node.on({ type: 'led', term: 1n })
  expect(wakeAtMs(node.state)).toBe(Infinity)
  expect(node.at(1e12)).toEqual([])
})
