import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { marshalJournalSegment } from '../../src/sqlite/journal-write.ts'
import { marshalWalHeader } from '../../src/sqlite/wal-write.ts'
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

async function serve(fuse: string, more = ''): Promise<string> {
  fs.writeFileSync(`${base}/ltxd.yml`, `fuse: ${fuse}\n${more}`)
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

test('encrypted databases are in status, metrics, readiness and the log; plain files are one line', async () => {
  const mount = await serve('{ databases: ["**"] }', 'ready: { unreplicated: fail }\n')
  await until('the API', 60_000, () => fs.existsSync(`${base}/data/api.json`))
  const { url } = JSON.parse(fs.readFileSync(`${base}/data/api.json`, 'utf8')) as { url: string }
  const get = async (path: string) => (await fetch(url + path)).text()
  const ready = async () => (await fetch(`${url}/ready`)).status
  const wal = { pageSize: 4096, checkpointSequence: 0, salt1: 1, salt2: 2, bigEndianChecksums: false }
  fs.writeFileSync(`${base}/pages`, randomBytes(8192))
  fs.writeFileSync(`${base}/journal`, marshalJournalSegment({ pageSize: 4096, initialSizePages: 0, nonce: 1 }, []))
  fs.writeFileSync(`${base}/wal`, marshalWalHeader(wal).bytes)
  expect(await ready()).toBe(200)
  const script =
    'for i in new old; do touch $i.db && cp ../journal $i.db-journal && cp ../pages $i.db && rm $i.db-journal; done && ' +
    'cp ../pages wal.db && cp ../wal wal.db-wal && for i in 1 2 3 4 5; do echo text > notes-$i; done'
  expect(await program('sh', ['-c', `cd ${mount} && ${script}`])).toMatchObject({ code: 0 })
  await until('readiness', 60_000, async () => (await ready()) === 503)
  expect(await get('/ready')).toContain('not replicated, probably encrypted: new.db, old.db')
  expect(JSON.parse(await get('/status'))).toMatchObject({
    unreplicated: { count: 2, names: ['new.db', 'old.db'] },
    databases: [{ name: 'wal.db', encrypted: true, sizePages: 2 }],
  })
  expect(await get('/metrics')).toContain('ltxd_unreplicated_databases 2\n')
  expect(await program('rm', [`${mount}/new.db`, `${mount}/old.db`])).toMatchObject({ code: 0 })
  await until('readiness', 60_000, async () => (await ready()) === 200)
  expect((await node?.stop())?.code).toBe(0)
  const warnings = fs.readFileSync(`${base}/log`, 'utf8').match(/^.*(probably encrypted|plain files).*$/gm) ?? []
  expect(warnings.filter((line) => line.includes('probably encrypted'))).toHaveLength(2)
  expect(warnings.join('\n')).toMatch(/plain files are not replicated.*count=\d.*files=/)
})
