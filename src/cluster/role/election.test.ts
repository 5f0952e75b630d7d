import { describe, expect, test } from 'vitest'
import type { NodeName } from '../../util/node-address.ts'
import type { LeaseView } from '../lease/lease.ts'
import { address, held, kinds, Node, OTHER, released, SELF, TTL, VACANT } from '../testing.ts'
import { wakeAtMs } from './role.ts'
import type { Rules } from './role-state.ts'

const SETTLE = 1_000
const YIELD = 4_000
const RULES: Partial<Rules> = { settleMs: SETTLE, yieldMs: YIELD }
const AHEAD = { nodeId: address(3).nodeId, hostname: 'host-3' }

/** A follower of `OTHER` whose TTL has passed: it stands. */
function standing(view: LeaseView = held(), rules = RULES): Node {
  const node = new Node(rules)
  node.sees(view)
  if (view.kind === 'record' && view.record.state === 'released') return node
  expect(node.at(TTL)).toEqual(['stand'])
  return node
}

function answer(
  node: Node,
  ahead: typeof AHEAD | readonly NodeName[] = [],
  absent: readonly NodeName[] = [],
): string[] {
  const of = node.state.name === 'standing-by' ? (node.state.election?.of ?? '') : ''
  return kinds(node.on({ type: 'stood', of, ahead: [ahead].flat(), absent }))
}

describe('a candidate that finds the lease free', () => {
  test('publishes how far it is, and acquires the lease when the others have had time to do the same', () => {
    const node = standing()
    expect(node.state).toMatchObject({ assigned: { kind: 'idle' } })
    expect(answer(node)).toEqual([])
    expect(wakeAtMs(node.state)).toBe(TTL + SETTLE)
    expect(node.at(TTL + SETTLE)).toEqual(['stand'])
    expect(answer(node)).toEqual(['acquire'])
  })

  test('leaves it to one that has more, and acquires it when that one does not for a while', () => {
    const node = standing()
    answer(node, AHEAD)
    node.at(TTL + SETTLE)
    // Known since the first answer.
    for (answer(node, AHEAD); node.ms < TTL + YIELD; answer(node, AHEAD)) {
      const at = wakeAtMs(node.state)
      expect(at).toBeGreaterThan(node.ms)
      if (node.at(at).includes('acquire')) break
    }
    expect(node.ms).toBe(TTL + YIELD)
    expect(node.state.name).toBe('acquiring')
  })

  test('reads anew and leaves it for a while again when its process was stopped meanwhile', () => {
    const node = standing()
    node.at(TTL + SETTLE)
    answer(node, AHEAD)
    const stoppedUntil = TTL + SETTLE + 2 * YIELD
    expect(node.at(stoppedUntil)).toEqual(['stand'])
    expect(answer(node, AHEAD)).toEqual([])
    while (!node.at(wakeAtMs(node.state)).includes('acquire')) answer(node, AHEAD)
    expect(node.ms).toBe(stoppedUntil + YIELD)
  })

  test('acquires it as soon as that one is gone from the candidates', () => {
    const node = standing()
    node.at(TTL + SETTLE)
    answer(node, AHEAD)
    expect(node.at(wakeAtMs(node.state))).toEqual(['stand'])
    expect(node.ms).toBe(TTL + SETTLE + SETTLE)
    expect(answer(node)).toEqual(['acquire'])
  })

  test('follows again when the holder renews after all, and the one that acquires it', () => {
    for (const view of [held(OTHER, { renewals: 1 }), held(address(3), { term: 8n })]) {
      const node = standing()
      expect(node.sees(view)).toEqual(['follow'])
      expect(answer(node, AHEAD)).toEqual([])
    }
  })

  test('ignores the answer to an election that is over', () => {
    const node = standing()
    node.ms += SETTLE
    node.historyTerm = 8n
    node.sees(held(address(3), { term: 8n }))
    expect(kinds(node.on({ type: 'stood', of: '7 held 0 0000000000000002', ahead: [], absent: [] }))).toEqual([])
    expect(node.at(node.ms + TTL)).toEqual(['stand'])
  })

  test('stands only while it is fit', () => {
    const node = new Node(RULES)
    node.unfit = 'a reader holds up a.db'
    node.sees(held())
    expect(node.at(TTL)).toEqual([])
    node.unfit = undefined
    expect(node.at(wakeAtMs(node.state))).toEqual(['stand'])
  })
})

test('candidates for a released lease settle in a tenth of a second', () => {
  const node = new Node(RULES)
  expect(node.sees(released())).toEqual(['stand'])
  expect(answer(node)).toEqual([])
  expect(wakeAtMs(node.state)).toBe(100)
  expect(node.at(100)).toEqual(['stand'])
  expect(answer(node)).toEqual(['acquire'])
})

test('a successor, a holder that was restarted, and an empty node without a record wait for nobody', () => {
  expect(new Node(RULES).sees(released({ successor: SELF.nodeId }))).toEqual(['acquire'])
  expect(new Node(RULES).sees(held(SELF))).toEqual(['acquire'])
  const empty = new Node(RULES)
  empty.newcomer = true
  expect(empty.sees(VACANT)).toEqual(['acquire'])
  const node = new Node(RULES)
  node.sees(VACANT)
  expect(node.at(TTL)).toEqual(['stand'])
})

describe('where the lease has lost its record', () => {
  const ABSENT = [{ nodeId: address(4).nodeId, hostname: 'host-4' }]

  function orphan(rules: Partial<Rules> = {}): Node {
    const node = new Node({ ...RULES, ...rules })
    node.sees(VACANT)
    expect(node.at(TTL)).toEqual(['stand'])
    answer(node, undefined, ABSENT)
    expect(node.at(TTL + SETTLE)).toEqual(['stand'])
    return node
  }

  test('a candidate leads when it has heard of every node of the cluster, and not before', () => {
    const node = orphan()
    expect(answer(node, undefined, ABSENT)).toEqual([])
    for (let n = 0; n < 50; n++) {
      expect(node.at(wakeAtMs(node.state))).toEqual(['stand'])
      expect(answer(node, undefined, ABSENT)).toEqual([])
    }
    node.at(wakeAtMs(node.state))
    expect(answer(node)).toEqual(['acquire'])
  })

  test('the time of one that has more begins when nobody is absent any more', () => {
    const node = orphan()
    for (let n = 0; n < 50; n++) {
      answer(node, AHEAD, ABSENT)
      node.at(wakeAtMs(node.state))
    }
    const fromMs = node.ms
    for (answer(node, AHEAD); !node.at(wakeAtMs(node.state)).includes('acquire'); answer(node, AHEAD)) continue
    expect(node.ms).toBe(fromMs + YIELD + TTL)
  })

  describe('the candidates that have more have their time one after the other', () => {
    const LATER = { nodeId: address(5).nodeId, hostname: 'host-5' }

    function acquiresAfterMs(ahead: (n: number) => readonly NodeName[]): number {
      const node = orphan()
      const fromMs = node.ms
      for (let n = 0; n < 1_000; n++) {
        if (answer(node, ahead(n)).includes('acquire') || node.at(wakeAtMs(node.state)).includes('acquire'))
          return node.ms - fromMs
      }
      return Infinity
    }

    test('also one that shows later, or that has most', () => {
      expect(acquiresAfterMs(() => [AHEAD, LATER])).toBe(2 * (YIELD + TTL))
      expect(acquiresAfterMs((n) => (n < 5 ? [AHEAD] : [LATER, AHEAD]))).toBe(2 * (YIELD + TTL))
    })

    test('each once, if it comes and goes', () => {
      expect(acquiresAfterMs((n) => (n % 2 === 0 ? [AHEAD] : [LATER]))).toBeLessThan(YIELD)
      expect(acquiresAfterMs((n) => (n % 2 === 0 ? [AHEAD, LATER] : [LATER]))).toBeLessThan(2 * (YIELD + TTL))
    })
  })

  test('the last leader shows itself at once, and again until it has settled, though it leads after a TTL only', () => {
    const node = new Node(RULES)
    node.ledTerm = node.knownTerm = 7n
    const shownAt = [0]
    expect(node.sees(VACANT)).toEqual(['stand'])
    while (node.ms < TTL + SETTLE) {
      expect(answer(node)).toEqual([])
      expect(node.state).toMatchObject({ name: 'standing-by', assigned: { kind: 'idle' } })
      if (node.at(wakeAtMs(node.state)).includes('stand')) shownAt.push(node.ms)
    }
    expect(shownAt).toEqual(Array.from({ length: 12 }, (_, n) => n * SETTLE))
    expect(answer(node)).toEqual(['acquire'])
  })

  test('a former leader that knows of a later one shows itself after a TTL', () => {
    const node = new Node(RULES)
    node.ledTerm = 7n
    node.knownTerm = 8n
    expect(node.sees(VACANT)).toEqual(['idle'])
    expect(wakeAtMs(node.state)).toBe(TTL)
  })

  test('with a backup, or when an operator accepts the loss, it waits for nobody', () => {
    expect(answer(orphan({ hasBackup: true }), undefined, ABSENT)).toEqual(['acquire'])
    const node = orphan()
    expect(answer(node, undefined, ABSENT)).toEqual([])
    expect(kinds(node.on({ type: 'force' }))).toEqual(['acquire'])
  })
})
