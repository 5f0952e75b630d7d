import fs from 'node:fs'
import { expect, test } from 'vitest'
import { logDirectory } from '../../src/log/store.ts'
import type { Files } from '../../src/util/files.ts'
import { nodeFiles } from '../../src/util/files.ts'
import { digestOfFile } from '../harness/digest.ts'
import { SEED } from '../harness/effort.ts'
import type { CrashPoint } from '../harness/in-process/crash-point-files.ts'
import { crashPointFiles, leaveCrashed, timelessFiles } from '../harness/in-process/crash-point-files.ts'
import { replayLog } from '../harness/in-process/log-replay.ts'
import { InProcessNode, temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { insert } from '../harness/in-process/rig.ts'
import { SqliteEngine } from '../harness/in-process/sqlite-engine.ts'
import { digestThrough, recoverAndCheck } from '../harness/in-process/verdict.ts'
import { VolatileFiles } from '../harness/in-process/volatile-files.ts'
import { Random } from '../harness/random.ts'

/**
 * After a clean stop, a start trusts the file without reading it. After a crash the next start may trust it only if it
 * did not change. Times and inode numbers are hidden here, because a power loss may bring back old times with new
 * content: files differ by size alone.
 */

const MODES = ['wal', 'delete', 'persist']
const STATEMENTS = [
  "UPDATE t SET b = 'first ' || a",
  'PRAGMA wal_checkpoint(TRUNCATE)',
  'DELETE FROM t WHERE a % 7 = 0',
]

/** Runs STATEMENTS on a node that was stopped cleanly before. `between` gets the content after each statement. */
function runAfterCleanStop(
  dataDir: string,
  files: Files,
  mode: string,
  synchronous: string,
  begun: () => void,
  between: (content: string) => void,
): void {
  const first = new InProcessNode({ dataDir, files })
  const engine = new SqliteEngine(first.mount, { seed: 1 })
  const connection = engine.open('a.db')
  connection.exec(`PRAGMA page_size = 512; PRAGMA journal_mode = ${mode}; CREATE TABLE t (a INTEGER PRIMARY KEY, b)`)
  connection.exec(insert(1, 80))
  const before = digestThrough(engine, 'a.db')
  connection.close()
  first.leave()
  expect(fs.existsSync(`${logDirectory(dataDir, 'a.db')}/clean.json`)).toBe(true)
  begun()
  const second = new InProcessNode({ dataDir, files })
  between(before)
  const restarted = new SqliteEngine(second.mount, { seed: 2 })
  const again = restarted.open('a.db')
  again.exec(`PRAGMA synchronous = ${synchronous}`)
  for (const sql of STATEMENTS) {
    again.exec(sql)
    between(digestThrough(restarted, 'a.db'))
  }
  again.close()
  second.leave()
  between(digestThrough(new SqliteEngine(new InProcessNode({ dataDir, files }).mount, { seed: 3 }), 'a.db'))
}

test.each(MODES)('%s: a crash at any point after a clean stop leaves an acknowledged state', (mode) => {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  let enabled = false
  let left: { dir: string; what: string }[] = []
  let points = 0
  let last: string | undefined
  const at = (point: CrashPoint) => {
    if (!enabled) return
    const dir = `${temporary.dir}/left-${points++}`
    leaveCrashed(dataDir, dir, point)
    left.push({ dir, what: point.what })
  }
  const judge = (content: string) => {
    enabled = false
    for (const { dir, what } of left) {
      const { digest } = recoverAndCheck(dir, 'a.db', { files: timelessFiles(nodeFiles) })
      expect([last ?? content, content], `crash before or in "${what}"`).toContain(digest)
      fs.rmSync(dir, { recursive: true })
    }
    left = []
    last = content
    enabled = true
  }
  const files = timelessFiles(crashPointFiles(nodeFiles, at))
  runAfterCleanStop(dataDir, files, mode, 'FULL', () => (enabled = true), judge)
  console.log(`${mode}: ${points} crash points after a clean stop`)
  expect(points).toBeGreaterThan(20)
})

/** Loses power at each operation, and calls `judge` for each directory that is left. */
function losePowerAfterCleanStop(
  mode: string,
  synchronous: string,
  judge: (dir: string, allowed: string[]) => void,
): void {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  for (const name of ['files', 'log']) fs.mkdirSync(`${dataDir}/${name}`, { recursive: true })
  const random = new Random(SEED)
  const volatile = new VolatileFiles(nodeFiles, dataDir)
  let enabled = false
  let left: { dir: string; what: string }[] = []
  let losses = 0
  let last: string | undefined
  const at = ({ what }: CrashPoint) => {
    if (!enabled) return
    for (const survival of [0, 0.6]) {
      const dir = `${temporary.dir}/left-${losses++}`
      volatile.losePower(dir, random, survival)
      left.push({ dir, what })
    }
  }
  const between = (content: string) => {
    enabled = false
    for (const { dir, what } of left) {
      try {
        judge(dir, [last ?? content, content])
      } catch (error) {
        throw new Error(`power lost before "${what}"`, { cause: error })
      }
      fs.rmSync(dir, { recursive: true })
    }
    left = []
    last = content
    enabled = true
  }
  const files = timelessFiles(crashPointFiles(volatile, at, () => []))
  runAfterCleanStop(dataDir, files, mode, synchronous, () => (enabled = true), between)
  console.log(`${mode}, ${synchronous}: the power failed ${losses} times after a clean stop`)
  expect(losses).toBeGreaterThan(20)
}

test.each(MODES)(`%s: a power loss after a clean stop leaves an acknowledged state (LTXD_SEED=${SEED})`, (mode) => {
  losePowerAfterCleanStop(mode, 'FULL', (dir, allowed) => {
    const { digest } = recoverAndCheck(dir, 'a.db', { files: timelessFiles(nodeFiles) })
    expect(allowed).toContain(digest)
  })
})

/**
 * Without fsyncs by SQLite the log may lose transactions that the file has. The only promise then is that no wrong page
 * is served.
 */
test.each(MODES)(
  `%s, synchronous OFF: a database that is served after a power loss equals its log (LTXD_SEED=${SEED})`,
  (mode) => {
    let served = 0
    let rejected = 0
    losePowerAfterCleanStop(mode, 'OFF', (dir) => {
      const node = new InProcessNode({ dataDir: dir, files: timelessFiles(nodeFiles) })
      const { rejection } = node.database('a.db')
      node.close()
      if (rejection !== undefined) return void rejected++
      served++
      expect(
        replayLog(dir, 'a.db')
          .bytes()
          .equals(fs.readFileSync(`${dir}/files/a.db`)),
        'I3',
      ).toBe(true)
    })
    console.log(`${mode}, OFF: ${served} served, ${rejected} rejected`)
  },
)

test.each(['wal', 'delete', 'truncate', 'persist'])(
  `%s: a clean stop leaves plain SQLite, even if the power fails afterwards (LTXD_SEED=${SEED})`,
  (mode) => {
    using temporary = temporaryDirectory()
    const dataDir = `${temporary.dir}/node`
    for (const name of ['files', 'log']) fs.mkdirSync(`${dataDir}/${name}`, { recursive: true })
    const files = new VolatileFiles(nodeFiles, dataDir)
    const random = new Random(SEED)
    for (let stop = 0; stop < 3; stop++) {
      const node = new InProcessNode({ dataDir, files })
      const engine = new SqliteEngine(node.mount, { seed: 1 })
      const connection = engine.open('a.db')
      connection.exec(`PRAGMA journal_mode = ${mode}; PRAGMA synchronous = FULL`)
      connection.exec('CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)')
      connection.exec(insert(stop * 100 + 1, stop * 100 + 80))
      connection.exec("UPDATE t SET b = 'changed ' || a WHERE a % 3 = 0")
      const content = digestThrough(engine, 'a.db')
      connection.close()
      node.leave()
      for (const survival of [0, 0.3, 0.6]) {
        const left = `${temporary.dir}/left`
        files.losePower(left, random, survival)
        expect(digestOfFile(`${left}/files/a.db`), `stop ${stop}, survival ${survival}`).toBe(content)
      }
    }
  },
)
