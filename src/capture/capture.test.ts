import { expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../../test/harness/effort.ts'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { observe } from '../../test/harness/in-process/observer.ts'
import { SqliteEngine } from '../../test/harness/in-process/sqlite-engine.ts'
import { Random } from '../../test/harness/random.ts'
import type { WorkloadOptions } from '../../test/harness/workload.ts'
import { ANY_PAGE_SIZE, Workload } from '../../test/harness/workload.ts'
import type { TXID } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'

/** LTXD_SEED replays one run; RUNS sets how many runs there are. */
const runs = effort(4, 100, 'RUNS')
const STEPS = 40

const EVERYTHING: WorkloadOptions = {
  pageSizes: ANY_PAGE_SIZE,
  journalModes: ['wal', 'wal', 'delete', 'truncate', 'persist'],
  synchronous: ['off', 'normal', 'full', 'extra'],
  maintenance: true,
  largeBytes: 60_000,
}

/** The kernel may split an application's write into pieces of any size. */
function randomCut(random: Random): (lengthBytes: number) => number[] {
  return (lengthBytes) => {
    const pieces: number[] = []
    for (let left = lengthBytes; left > 0; left -= pieces.at(-1)) {
      const whole = pieces.length > 3 || random.next() < 0.6
      pieces.push(whole ? left : random.integer(1, Math.min(left, random.next() < 0.5 ? 40 : left)))
    }
    return pieces
  }
}

function lockstep(runSeed: number): { transactions: number } {
  using temporary = temporaryDirectory()
  const random = new Random(runSeed)
  const node = new InProcessNode({ dataDir: temporary.dir, segmentSizeBytes: 1 << 18 })
  node.mount.cut = randomCut(random)
  const engine = new SqliteEngine(node.mount, {
    seed: runSeed,
    powersafeOverwrite: random.next() < 0.5,
    sectorSizeBytes: random.next() < 0.5 ? 512 : 4096,
  })
  const workload = new Workload(random, EVERYTHING)
  const seen = new Map<TXID, string>()
  let connection = engine.open('a.db')
  const run = ({ sql, reopen, rollsBack }: ReturnType<Workload['next']>) => {
    const before = rollsBack === true ? observe(engine, 'a.db').checksum : undefined
    connection.exec(sql)
    if (reopen === true) {
      connection.close()
      connection = engine.open('a.db')
    }
    const { checksum } = observe(engine, 'a.db')
    const { position } = node.database('a.db')
    if (position.txid > 0n) expect(position.checksum, sql).toBe(checksum)
    if (before !== undefined && node.database('a.db').walMode) expect(checksum, sql).toBe(before)
    seen.set(position.txid, formatPosition(position))
  }
  for (const step of workload.setUp()) run(step)
  for (let i = 0; i < STEPS; i++) run(workload.next())
  connection.close()
  const replayed = replayLog(temporary.dir, 'a.db', (database) => {
    const expected = seen.get(database.txid)
    if (expected !== undefined) expect(formatPosition(database)).toBe(expected)
  })
  expect(formatPosition(replayed)).toBe(formatPosition(node.position('a.db')))
  expect(node.complaints()).toEqual([])
  node.close()
  return { transactions: Number(replayed.txid) }
}

test(
  `I1, I2: for any SQL, and writes split anywhere, the log matches what SQLite reads (LTXD_SEED=${SEED} RUNS=${runs})`,
  { timeout: HANG_MS + runs * 10_000 },
  () => {
    let transactions = 0
    for (let i = 0; i < runs; i++) {
      try {
        transactions += lockstep(SEED + i).transactions
      } catch (error) {
        throw new Error(`LTXD_SEED=${SEED + i} RUNS=1 failed`, { cause: error })
      }
    }
    console.log(`${runs} runs, ${transactions} transactions`)
    expect(transactions).toBeGreaterThan(runs * 10)
  },
)
