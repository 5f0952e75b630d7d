import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SEED } from '../../test/harness/effort.ts'
import { type Candidacy, compare, encodeCandidacy, isAhead, parseCandidacy, positionsOf } from './candidacy.ts'

function candidacy(node: number, positions: Record<string, bigint>, fields: Partial<Candidacy> = {}): Candidacy {
  return {
    ...{ nodeId: node.toString(16).padStart(16, '0'), hostname: `host-${node}`, of: '7 held 3 02' },
    ...{
      knownTerm: 7n,
      historyTerm: 7n,
      nodes: [],
      witnessed: undefined,
      isUnfit: false,
      positions: positionsOf(Object.entries(positions)),
      ...fields,
    },
  }
}

describe('a candidate is ahead', () => {
  test('with one transaction more in one database, however many there are', () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`${i}.db`, 5n]))
    const [a, b] = [candidacy(1, { ...many, '7.db': 6n }), candidacy(2, many)]
    expect([isAhead(a, b), isAhead(b, a)]).toEqual([true, false])
    expect([isAhead(b, candidacy(3, many)), isAhead(candidacy(3, many), b)]).toEqual([false, false])
  })

  test('with a database that the other has not', () => {
    const [a, b] = [candidacy(1, { 'a.db': 5n, 'new.db': 1n }), candidacy(2, { 'a.db': 5n })]
    expect([isAhead(a, b), isAhead(b, a)]).toEqual([true, false])
  })

  test('with the history of a later leader, whatever the numbers are', () => {
    const [a, b] = [candidacy(1, { 'a.db': 5n }, { historyTerm: 8n }), candidacy(2, { 'a.db': 9n })]
    expect([isAhead(a, b), isAhead(b, a)]).toEqual([true, false])
  })

  test(`in one order that all nodes agree on (LTXD_SEED=${SEED})`, () => {
    const some = fc
      .record({
        node: fc.integer({ min: 1, max: 9 }),
        a: fc.nat(3),
        b: fc.nat(3),
        term: fc.integer({ min: 1, max: 2 }),
      })
      .map(({ node, a, b, term }) => {
        const positions = { ...(a > 0 && { a: BigInt(a) }), ...(b > 0 && { b: BigInt(b) }) }
        return candidacy(node, positions, { historyTerm: BigInt(term) })
      })
    fc.assert(
      fc.property(some, some, some, (a, b, c) => {
        expect(isAhead(a, b) && isAhead(b, a)).toBe(false)
        // Otherwise three candidates could wait for each other.
        expect(isAhead(a, b) && isAhead(b, c) && isAhead(c, a)).toBe(false)
      }),
      { numRuns: 2_000, seed: SEED },
    )
  })
})

describe('what candidates learn from each other', () => {
  const named = (...nodes: number[]) =>
    nodes.map((node) => ({ nodeId: node.toString(16).padStart(16, '0'), hostname: `host-${node}` }))

  test('is who has not published, of all nodes that any of them knows', () => {
    const own = candidacy(1, {}, { nodes: named(2, 3) })
    const others = [candidacy(2, {}, { nodes: named(1, 4), isUnfit: true }), candidacy(3, {}, { of: 'earlier' })]
    expect(compare(own, others).absent).toEqual(named(3, 4))
    expect(compare(own, [...others, candidacy(3, {}), candidacy(4, {})]).absent).toEqual([])
  })

  test('is not the last leader that one of them has seen lead and followed: nobody waits for that', () => {
    const own = candidacy(1, {}, { nodes: named(2, 3, 4), witnessed: { term: 5n, holder: named(3)[0]?.nodeId ?? '' } })
    expect(compare(own, []).absent).toEqual(named(2, 4))
    const witnessed = { term: 8n, holder: named(4)[0]?.nodeId ?? '' }
    expect(compare(own, [candidacy(2, {}, { witnessed, historyTerm: 8n })]).absent).toEqual(named(3))
    // A node that lacks some of that leader's transactions excuses nobody.
    expect(compare(own, [candidacy(2, {}, { witnessed })]).absent).toEqual(named(3, 4))
  })

  test('is which fit candidates have more, who has most first, and the highest term that any of them knows', () => {
    const own = candidacy(1, { 'a.db': 1n })
    const others = [
      candidacy(2, { 'a.db': 2n }),
      candidacy(3, { 'a.db': 3n }),
      candidacy(7, { 'a.db': 1n }),
      candidacy(4, { 'a.db': 9n }, { isUnfit: true }),
      candidacy(5, { 'a.db': 9n }, { of: 'earlier', knownTerm: 9n }),
    ]
    expect(compare(own, others)).toMatchObject({ ahead: named(3, 2), knownTerm: 9n })
    expect(compare(candidacy(6, { 'a.db': 4n }), others).ahead).toEqual([])
  })
})

describe('the text of a candidacy', () => {
  test('is read as it was written, with the largest numbers', () => {
    const nodes = [{ nodeId: 'b'.repeat(16), hostname: 'host-b' }]
    const written = candidacy(
      1,
      { 'a.db': 2n ** 48n - 1n, 'b.db': 0n },
      {
        ...{ knownTerm: 2n ** 61n, nodes, witnessed: { term: 7n, holder: 'b'.repeat(16) } },
      },
    )
    expect(parseCandidacy(encodeCandidacy(written))).toEqual(written)
  })

  test('is also read as an earlier build wrote it, without the other nodes', () => {
    const text = encodeCandidacy(candidacy(1, {})).toString()
    expect(text).toContain(',"nodes":[]')
    expect(parseCandidacy(Buffer.from(text.replace(',"nodes":[]', '')))?.nodes).toEqual([])
  })

  test('counts for nothing where it is none, is too large, or of a later version', () => {
    const text = encodeCandidacy(candidacy(1, {})).toString()
    for (const other of ['', '{}', '[]', text.replace('"ltxd":1', '"ltxd":2'), text.padEnd(500_001)])
      expect(parseCandidacy(Buffer.from(other))).toBeUndefined()
    expect(parseCandidacy(Buffer.from(text.replace('"positions":""', '"positions":"AAAA"')))?.positions.size).toBe(0)
  })
})
