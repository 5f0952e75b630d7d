import { expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { type Bug, TTL_MS } from './model-node.ts'
import { lostWhileSettling, shrink, slowLeader, staleNode, walk } from './walk.ts'

/** WALKS: the number of random walks. LTXD_SEED replays a run; each walk has a seed of its own, counted from it. */
const WALKS = effort(1_500, 1_000_000, 'WALKS')
const MAX_WALKS_TO_A_BUG = 6_000

/** Candidates have a tenth of the TTL to publish. With a quarter, more walks come to the end of an election. */
const settleMsOf = (seed: number) => (seed % 2 === 0 ? TTL_MS / 10 : TTL_MS / 4)

function explained(seed: number, bugs: ReadonlySet<Bug> = new Set()): string | undefined {
  const settleMs = settleMsOf(seed)
  const result = walk(seed, bugs, settleMs)
  if (result.violation === undefined) return undefined
  const steps = shrink(seed, result, bugs, settleMs)
  return `${result.violation} (walk ${seed}): ${steps.map((step) => step.join(' ')).join(', ')}`
}

test(
  `whatever fails, terms have one leader, who has most leads, and the cluster recovers (WALKS=${WALKS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + WALKS * 20 },
  () => {
    for (let n = 0; n < WALKS; n++) expect(explained(SEED + n)).toBeUndefined()
  },
)

test.each<[Bug, RegExp]>([
  ['no yield', /passed over/],
  ['received dropped', /thrown away|passed over/],
  ['the last leader shows late', /passed over/],
])(`a planted fault is found: %s (LTXD_SEED=${SEED})`, { timeout: HANG_MS }, (bug, violation) => {
  const bugs = new Set([bug])
  for (let n = 0; n < MAX_WALKS_TO_A_BUG; n++) {
    const found = walk(SEED + n, bugs, settleMsOf(n)).violation
    if (found !== undefined && violation.test(found)) return
  }
  expect.unreachable(`no walk of ${MAX_WALKS_TO_A_BUG} found "${bug}"`)
})

test('a planted fault is found: no roll call', () => {
  expect(staleNode(new Set())).toBeUndefined()
  expect(staleNode(new Set(['no roll call']))).toMatch(/a later leader has acknowledged/)
})

test('a planted fault is found: no margin', () => {
  expect(slowLeader(new Set())).toBeUndefined()
  expect(slowLeader(new Set(['no margin']))).toMatch(/after a later term/)
})

test('the last leader is not passed over when what it published is lost while it settles', () => {
  expect(lostWhileSettling()).toBeUndefined()
})
