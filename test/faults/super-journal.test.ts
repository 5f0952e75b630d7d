import fs from 'node:fs'
import { expect, test } from 'vitest'
import type { Files } from '../../src/util/files.ts'
import { nodeFiles } from '../../src/util/files.ts'
import { SEED } from '../harness/effort.ts'
import type { CrashPoint } from '../harness/in-process/crash-point-files.ts'
import { crashPointFiles, leaveCrashed } from '../harness/in-process/crash-point-files.ts'
import { InProcessNode, temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { SqliteEngine } from '../harness/in-process/sqlite-engine.ts'
import { recoverAndCheck } from '../harness/in-process/verdict.ts'
import { VolatileFiles } from '../harness/in-process/volatile-files.ts'
import { Random } from '../harness/random.ts'

const NAMES = ['a.db', 'b.db', 'c.db']

const TRANSACTION = "BEGIN; UPDATE main.t SET v = 'new'; UPDATE b.t SET v = 'new'; UPDATE c.t SET v = 'new'; COMMIT"

/** Makes three databases with the same content, attached to one connection. */
function setUp(dataDir: string, files: Files, mode: string) {
  const node = new InProcessNode({ dataDir, files })
  const engine = new SqliteEngine(node.mount, { seed: 1 })
  for (const name of NAMES) {
    const connection = engine.open(name)
    connection.exec(
      `PRAGMA page_size = 512; PRAGMA journal_mode = ${mode}; CREATE TABLE t (v); ` +
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) SELECT 'old' FROM n",
    )
    connection.close()
  }
  const connection = engine.open('a.db')
  for (const name of ['b', 'c']) {
    connection.exec(`ATTACH '${engine.prefix}${name}.db' AS ${name}; PRAGMA ${name}.journal_mode = ${mode}`)
  }
  connection.exec(`PRAGMA journal_mode = ${mode}; PRAGMA synchronous = FULL`)
  return { node, connection }
}

/** Recovers all databases in `dir`. Returns their different contents: one if they agree. */
function outcome(dir: string): string[] {
  const digests = NAMES.map((name) => recoverAndCheck(dir, name).digest)
  return Array.from(new Set(digests))
}

for (const mode of ['DELETE', 'TRUNCATE', 'PERSIST']) {
  test(`${mode}: a crash at any point of a transaction over three databases leaves it in all or in none`, () => {
    using temporary = temporaryDirectory()
    const dataDir = `${temporary.dir}/node`
    const left: { dir: string; what: string }[] = []
    let enabled = false
    const at = (point: CrashPoint) => {
      if (!enabled) return
      const dir = `${temporary.dir}/left-${left.length}`
      leaveCrashed(dataDir, dir, point)
      left.push({ dir, what: point.what })
    }
    const { node, connection } = setUp(dataDir, crashPointFiles(nodeFiles, at), mode)
    enabled = true
    connection.exec(TRANSACTION)
    enabled = false
    connection.close()
    node.close()
    const [after] = outcome(dataDir)
    const seen = left.map(({ dir, what }) => {
      const digests = outcome(dir)
      expect(digests, `crash before or in "${what}"`).toHaveLength(1)
      return digests[0] === after
    })
    const decided = seen.indexOf(true)
    expect(decided).toBeGreaterThan(0)
    expect(
      seen.slice(decided).every((it) => it),
      'a decided transaction stays decided',
    ).toBe(true)
    console.log(`${mode}: ${left.length} crash points, decided at the ${decided}th`)
  })

  test(`${mode}: a power loss in a transaction over three databases leaves it in all or in none (LTXD_SEED=${SEED})`, () => {
    using temporary = temporaryDirectory()
    const dataDir = `${temporary.dir}/node`
    for (const name of ['files', 'log']) fs.mkdirSync(`${dataDir}/${name}`, { recursive: true })
    const random = new Random(SEED)
    const files = new VolatileFiles(nodeFiles, dataDir)
    const left: { dir: string; what: string }[] = []
    const lose = (what: string) => {
      for (const survival of [0, 0.5]) {
        const dir = `${temporary.dir}/left-${left.length}`
        files.losePower(dir, random, survival)
        left.push({ dir, what })
      }
    }
    let enabled = false
    const at = ({ what }: CrashPoint) => enabled && lose(what)
    const { node, connection } = setUp(
      dataDir,
      crashPointFiles(files, at, () => []),
      mode,
    )
    enabled = true
    connection.exec(TRANSACTION)
    enabled = false
    lose('nothing')
    connection.close()
    node.close()
    const [after] = outcome(dataDir)
    for (const { dir, what } of left) {
      const digests = outcome(dir)
      expect(digests, `power lost before "${what}"`).toHaveLength(1)
      if (what === 'nothing') expect(digests).toEqual([after])
    }
    console.log(`${mode}: the power failed ${left.length} times`)
  })
}
