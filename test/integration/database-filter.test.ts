import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { program } from '../cli/run.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

let base: string
let node: LtxdNode | undefined
beforeEach(() => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-filter-'))
})
afterEach(async () => {
  await node?.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

async function serve(fuse: string): Promise<string> {
  fs.writeFileSync(`${base}/ltxd.yml`, `fuse: ${fuse}\n`)
  node = LtxdNode.start({
    mount: `${base}/mount`,
    data: `${base}/data`,
    logFile: `${base}/log`,
    arguments: ['--config', `${base}/ltxd.yml`],
  })
  await node.mounted()
  return `${base}/mount`
}

const logs = () => fs.readdirSync(`${base}/data/log`)
const sqlite = (file: string, sql: string) => program('sqlite3', [file, sql])
const INSERT =
  'PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES (1); SELECT count(*) FROM t'

test('patterns choose the files that are databases; all others are plain files, even for SQLite', async () => {
  const mount = await serve('{ databases: ["*.db"] }')
  expect(await sqlite(`${mount}/a.db`, INSERT)).toMatchObject({ code: 0, stdout: 'wal\n1\n' })
  expect(await sqlite(`${mount}/cache.tmp`, INSERT)).toMatchObject({ code: 0, stdout: 'wal\n1\n' })
  expect(await sqlite(`${mount}/cache.tmp`, 'PRAGMA journal_mode = MEMORY; INSERT INTO t VALUES (2)')).toMatchObject({
    code: 0,
  })
  expect(await program('sh', ['-c', `echo text > ${mount}/notes && cat ${mount}/notes`])).toMatchObject({
    stdout: 'text\n',
  })
  expect(logs()).toEqual(['a.db.ltx'])
  expect((await node?.stop())?.code).toBe(0)
  expect((await sqlite(`${base}/data/files/cache.tmp`, 'SELECT count(*) FROM t')).stdout).toBe('2\n')
})

test('other-files: refuse rejects all others, logs file and process, and leaves nothing of them', async () => {
  const mount = await serve('{ databases: ["/data/**"], other-files: refuse }')
  expect(await program('mkdir', [`${mount}/data`])).toMatchObject({ code: 0 })
  expect(await sqlite(`${mount}/data/a`, INSERT)).toMatchObject({ code: 0, stdout: 'wal\n1\n' })
  for (const refused of [
    await sqlite(`${mount}/a.db`, INSERT),
    await program('cp', [`${mount}/data/a`, `${mount}/copy`]),
    await program('mv', [`${mount}/data/a`, `${mount}/moved`]),
  ])
    expect(refused.code).not.toBe(0)
  expect((await program('find', [mount, '-type', 'f'])).stdout).toBe(`${mount}/data/a\n`)
  const rejection = /fuse\.databases.*file=copy.*process="?cp \(\d+\)/
  await until('the log line', 60_000, () => rejection.test(fs.readFileSync(`${base}/log`, 'utf8')))
  expect((await sqlite(`${mount}/data/a`, 'SELECT count(*) FROM t')).stdout).toBe('1\n')
})
