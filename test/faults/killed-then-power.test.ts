/** A node is killed, started again, and then the power fails: what the killed one wrote is in the kernel alone. */

import fs from 'node:fs'
import { expect, test } from 'vitest'
import { nodeFiles } from '../../src/util/files.ts'
import { digest } from '../harness/digest.ts'
import { InProcessNode, temporaryDirectory } from '../harness/in-process/node-in-process.ts'
import { SqliteEngine } from '../harness/in-process/sqlite-engine.ts'
import { digestThrough, recoverAndCheck } from '../harness/in-process/verdict.ts'
import { VolatileFiles } from '../harness/in-process/volatile-files.ts'
import { Random } from '../harness/random.ts'

test.each([
  ['one segment', 1 << 20],
  ['many segments', 2_000],
])('I4: the start after a kill makes all of the log durable: %s', (_, segmentSizeBytes) => {
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/node`
  for (const name of ['files', 'log']) fs.mkdirSync(`${dataDir}/${name}`, { recursive: true })
  const files = new VolatileFiles(nodeFiles, dataDir)
  const killed = new InProcessNode({ dataDir, files, segmentSizeBytes })
  const connection = new SqliteEngine(killed.mount, { seed: 1 }).open('a.db')
  connection.exec('PRAGMA journal_mode = wal; PRAGMA synchronous = normal; CREATE TABLE t (x)')
  for (let i = 0; i < 5; i++) connection.exec(`INSERT INTO t VALUES (${i})`)
  connection.kill()
  const node = new InProcessNode({ dataDir, files, segmentSizeBytes })
  const expected = digestThrough(new SqliteEngine(node.mount, { seed: 2 }), 'a.db')
  const left = (name: string) => {
    files.losePower(`${temporary.dir}/${name}`, new Random(1), 0)
    return recoverAndCheck(`${temporary.dir}/${name}`, 'a.db').digest
  }
  expect(left('started')).toBe(expected)
  const later = new SqliteEngine(node.mount, { seed: 3 }).open('a.db')
  later.exec('PRAGMA synchronous = full; INSERT INTO t VALUES (10)')
  expect(left('committed')).toBe(digest((sql) => later.exec(sql)))
  later.kill()
  node.close()
})
