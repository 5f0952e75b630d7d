import fs from 'node:fs'
import { expect, test } from 'vitest'
import { nodeFiles } from '../../src/util/files.ts'
import { EMPTY } from '../harness/digest.ts'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { InProcessNode, temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { SqliteEngine } from '../harness/in-process/sqlite-engine.ts'
import { checkWorks, digestThrough, recoverAndCheck } from '../harness/in-process/verdict.ts'
import { VolatileFiles } from '../harness/in-process/volatile-files.ts'
import { Random } from '../harness/random.ts'
import { Workload } from '../harness/workload.ts'

/** LTXD_SEED replays a run. RUNS sets their number, STEPS their length. */
const runs = effort(2, 40, 'RUNS')
const steps = effort(8, 16, 'STEPS')
/** The power fails at one operation in so many. */
const ONE_IN = 4

/**
 * The power fails at operations of a run, and all unsynced writes are lost, or some of them. The recovered state must
 * be a committed one. If SQLite asks for durability at each commit it is the last acknowledged one or the next, else
 * any one of the history.
 */
function losePower(synchronous: string, journalModes: string[], runSeed: number): number {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  for (const name of ['files', 'log']) fs.mkdirSync(`${dataDir}/${name}`, { recursive: true })
  const random = new Random(runSeed)
  const files = new VolatileFiles(nodeFiles, dataDir)
  const node = new InProcessNode({ dataDir, files, segmentSizeBytes: 6_000 })
  const engine = new SqliteEngine(node.mount, { seed: runSeed })
  const workload = new Workload(random, {
    pageSizes: [512, 1024, 4096],
    journalModes,
    synchronous: [synchronous],
    maintenance: true,
    largeBytes: 12_000,
  })
  let lost = 0
  let left: { dir: string; what: string }[] = []
  const lose = (what: string) => {
    const dir = `${temporary.dir}/left-${++lost}`
    files.losePower(dir, random, random.next() < 0.4 ? 0 : random.next())
    left.push({ dir, what })
  }
  let connection = engine.open('a.db')
  const history = [EMPTY]
  const run = ({ sql, reopen }: ReturnType<Workload['next']>) => {
    node.mount.before = ({ kind, path }) => random.integer(1, ONE_IN) === 1 && lose(`${kind} of ${path}`)
    connection.exec(sql)
    if (reopen === true) {
      connection.close()
      connection = engine.open('a.db')
    }
    node.mount.before = () => {}
    history.push(digestThrough(engine, 'a.db'))
    const during = left
    left = []
    lose('nothing')
    const allowed = (back: number) => (synchronous === 'normal' ? history : history.slice(-back))
    for (const { dir, what } of during) judge(dir, allowed(2), `before ${what}, during ${sql}`, random)
    for (const { dir } of left) judge(dir, allowed(1), `after ${sql}`, random)
    left = []
    if (random.next() < 0.3) node.maintain('a.db')
  }
  for (const step of workload.setUp()) run(step)
  for (let i = 0; i < steps; i++) run(workload.next())
  connection.close()
  node.close()
  return lost
}

function judge(dir: string, allowed: readonly string[], when: string, random: Random): void {
  const wholeReadBytes = random.next() < 0.5 ? 0 : Infinity
  try {
    expect(allowed).toContain(recoverAndCheck(dir, 'a.db', { wholeReadBytes }).digest)
    if (random.next() < 0.2) checkWorks(dir, 'a.db')
  } catch (error) {
    throw new Error(`power lost ${when}`, { cause: error })
  }
  fs.rmSync(dir, { recursive: true })
}

for (const synchronous of ['full', 'normal']) {
  for (const modes of [['wal'], ['delete', 'truncate', 'persist'], ['wal', 'delete', 'persist']]) {
    const promise = synchronous === 'full' ? 'no acknowledged commit' : 'nothing but the newest commits'
    test(
      `a power loss takes back ${promise}: ${modes.join(', ')}, synchronous ${synchronous} (LTXD_SEED=${SEED} RUNS=${runs})`,
      { timeout: HANG_MS * runs },
      () => {
        let losses = 0
        for (let i = 0; i < runs; i++) {
          try {
            losses += losePower(synchronous, modes, SEED + i)
          } catch (error) {
            throw new Error(`LTXD_SEED=${SEED + i} RUNS=1 fails`, { cause: error })
          }
        }
        console.log(`${modes.join(', ')}, ${synchronous}: the power failed ${losses} times`)
        expect(losses).toBeGreaterThan(runs)
      },
    )
  }
}
