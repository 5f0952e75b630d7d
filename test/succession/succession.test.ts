import { expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import type { Bug } from './model-node.ts'
import { shrink, slowLeader, staleNode, walk } from './walk.ts'

/** WALKS: the number of random walks. LTXD_SEED replays a run; each walk has a seed of its own, counted from it. */
const WALKS = effort(1_500, 1_000_000, 'WALKS')
const MAX_WALKS_TO_A_BUG = 6_000

function explained(seed: number, bugs: ReadonlySet<Bug> = new Set()): string | undefined {
  const result = walk(seed, bugs)
  if (result.violation === undefined) return undefined
  const steps = shrink(seed, result, bugs)
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
])(`a planted fault is found: %s (LTXD_SEED=${SEED})`, { timeout: HANG_MS }, (bug, violation) => {
  const bugs = new Set([bug])
  for (let n = 0; n < MAX_WALKS_TO_A_BUG; n++) {
    const found = walk(SEED + n, bugs).violation
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
