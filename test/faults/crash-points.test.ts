import fs from 'node:fs'
import { expect, test } from 'vitest'
import { nodeFiles } from '../../src/util/files.ts'
import { EMPTY } from '../harness/digest.ts'
import { effort, SEED } from '../harness/effort.ts'
import type { CrashPoint } from '../harness/in-process/crash-point-files.ts'
import { crashPointFiles, leaveCrashed } from '../harness/in-process/crash-point-files.ts'
import { InProcessNode, temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { SqliteEngine } from '../harness/in-process/sqlite-engine.ts'
import { checkWorks, digestThrough, recoverAndCheck } from '../harness/in-process/verdict.ts'
import { Random } from '../harness/random.ts'
import { Workload } from '../harness/workload.ts'

/** LTXD_SEED replays a run, and STEPS makes it longer. */
const steps = effort(4, 16, 'STEPS')

/** A run continues until it has reached so many crash points. */
const FEW = 150

interface Counts {
  points: number
  inRecovery: number
}

/**
 * One run of SQLite through capture. At each moment at which a crash would leave another state, that state is recovered
 * in a copy. It must be the last acknowledged state, or the one that was being committed.
 */
function everyCrashPoint(journalModes: string[], runSeed: number): Counts {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  const copy = `${temporary.dir}/crashed`
  const random = new Random(runSeed)
  const counts: Counts = { points: 0, inRecovery: 0 }
  let enabled = false
  let toJudge: { left: string; what: string }[] = []
  const at = (point: CrashPoint) => {
    if (!enabled) return
    const left = `${copy}-${toJudge.length}`
    leaveCrashed(dataDir, left, point)
    toJudge.push({ left, what: point.what })
  }
  const node = new InProcessNode({ dataDir, files: crashPointFiles(nodeFiles, at), segmentSizeBytes: 6_000 })
  const engine = new SqliteEngine(node.mount, { seed: runSeed })
  const workload = new Workload(random, {
    pageSizes: [512, 1024, 4096],
    journalModes,
    synchronous: ['off', 'normal', 'full'],
    maintenance: true,
    largeBytes: 9_000,
  })
  let connection = engine.open('a.db')
  let acknowledged = EMPTY
  const run = ({ sql, reopen }: ReturnType<Workload['next']>) => {
    enabled = true
    connection.exec(sql)
    if (reopen === true) {
      connection.close()
      connection = engine.open('a.db')
    }
    if (random.next() < 0.15) node.maintain('a.db')
    enabled = false
    const committed = digestThrough(engine, 'a.db')
    for (const { left, what } of toJudge) {
      counts.points++
      try {
        if (random.next() < 0.02) counts.inRecovery += crashInRecovery(left, `${copy}-again`, [acknowledged, committed])
        const wholeReadBytes = random.next() < 0.5 ? 0 : Infinity
        expect([acknowledged, committed]).toContain(recoverAndCheck(left, 'a.db', { wholeReadBytes }).digest)
        if (random.next() < 0.2) checkWorks(left, 'a.db')
      } catch (error) {
        throw new Error(`crash before or in "${what}", during: ${sql}`, { cause: error })
      }
      fs.rmSync(left, { recursive: true })
    }
    toJudge = []
    acknowledged = committed
  }
  for (const step of workload.setUp()) run(step)
  for (let i = 0; i < steps || counts.points < FEW; i++) run(workload.next())
  connection.close()
  node.close()
  return counts
}

/** Interrupts the recovery at each of its changes. The recovery after that must yield the same state. */
function crashInRecovery(left: string, copy: string, expected: string[]): number {
  const start = `${left}-start`
  const options = { wholeReadBytes: 0 }
  fs.cpSync(left, start, { recursive: true })
  let points = 0
  try {
    const at = (point: CrashPoint) => {
      points++
      leaveCrashed(start, copy, point)
      expect(expected, `crash in recovery: ${point.what}`).toContain(recoverAndCheck(copy, 'a.db', options).digest)
    }
    new InProcessNode({ ...options, dataDir: start, files: crashPointFiles(nodeFiles, at) }).close()
  } finally {
    fs.rmSync(start, { recursive: true, force: true })
    fs.rmSync(copy, { recursive: true, force: true })
  }
  return points
}

for (const [i, modes] of [['wal'], ['delete'], ['truncate'], ['persist'], ['wal', 'delete', 'persist']].entries()) {
  test(`I1, I3: a crash at any point of ${modes.join(' and ')} leaves the last acknowledged commit or the next (LTXD_SEED=${SEED} STEPS=${steps})`, () => {
    const { points, inRecovery } = everyCrashPoint(modes, SEED + i)
    console.log(`${modes.join(', ')}: ${points} crash points, ${inRecovery} more inside recoveries`)
    expect(points).toBeGreaterThanOrEqual(FEW)
  })
}
