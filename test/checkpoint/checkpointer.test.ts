import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { Checkpointer } from '../../src/replica/client/checkpointer.ts'
import { filesBeneath } from '../../src/util/files-beneath.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { until } from '../harness/wait.ts'

const CYCLES = 20

test('once the checkpointer reports a lock as released, a lone connection can checkpoint at once', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'ltxd-checkpointer-'))
  const logDir = path.join(directory, 'log')
  mkdirSync(logDir)
  const file = path.join(directory, 'a.db')
  const said: string[] = []
  const checkpointer = new Checkpointer(
    filesBeneath(directory),
    filesBeneath(directory),
    () => {},
    ({ type }) => said.push(type),
  )
  const writer = new SqlClient(file)
  const other = new SqlClient(file)
  try {
    await writer.exec('PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a)')
    await other.value('SELECT count(*) FROM t')
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      said.length = 0
      checkpointer.guard({ type: 'guard', database: 'a.db', logDir, hasSeveralWriters: false })
      await until('the lock to be held', 60_000, () => said.includes('guarding'))
      expect(await writer.value('PRAGMA wal_checkpoint(TRUNCATE)')).toBe(1)
      await writer.exec(
        'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO t SELECT randomblob(4000) FROM n',
      )
      checkpointer.leave('a.db')
      await until('the lock to be released', 60_000, () => said.includes('released'))
      expect(await writer.value('PRAGMA wal_checkpoint(TRUNCATE)'), `cycle ${cycle}, ${said.join()}`).toBe(0)
      expect(said).not.toContain('checkpoint-failed')
    }
  } finally {
    checkpointer.leave('a.db')
    await writer[Symbol.asyncDispose]()
    await other[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  }
})
