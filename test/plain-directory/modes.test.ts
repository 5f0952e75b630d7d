import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ltxd } from '../cli/run.ts'
import { python, run } from '../conformance/served.ts'
import { Application } from '../harness/application.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

const SCENARIOS = fileURLToPath(new URL('modes.py', import.meta.url))

let base: string
let mount: string
let node: LtxdNode

beforeAll(async () => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-modes-'))
  mount = `${base}/mount`
  fs.mkdirSync(`${base}/plain`)
  node = LtxdNode.start({ mount, data: `${base}/data`, logFile: `${base}/log`, backup: `file://${base}/backup` })
  await node.mounted()
})

afterAll(async () => {
  await node.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

async function statusOf(name: string): Promise<string> {
  const { stdout } = await ltxd(['status', '--data', `${base}/data`, '--json'])
  const { databases } = JSON.parse(stdout) as { databases: readonly { name: string; position: string }[] }
  return databases.find((database) => database.name === name)?.position ?? 'none'
}

const txid = (position: string) => Number.parseInt(position, 16)

/** Prints the rows of each database in a directory. */
const ROWS = `
import os, sqlite3, sys
for name in sorted(os.listdir(sys.argv[1])):
    if not name.endswith('.db'): continue
    rows = sqlite3.connect(os.path.join(sys.argv[1], name)).execute('select count(*), sum(v) from t').fetchall()
    print(name, rows)`

/** Restores each database into a new directory, and returns it. */
async function restored(names: readonly string[]): Promise<string> {
  const into = fs.mkdtempSync(`${base}/restored-`)
  await Promise.all(names.map((name) => ltxd(['restore', `file://${base}/backup`, name, '-o', `${into}/${name}`])))
  return into
}

test('PERSIST, mapped reads and exclusive locking give two processes what a plain directory gives them', async () => {
  const expected = await run('python3', SCENARIOS, `${base}/plain`)
  expect((await run('python3', SCENARIOS, mount)).split('\n')).toEqual(expected.split('\n'))
  const rows = await python(ROWS, `${base}/plain`)
  expect(await python(ROWS, mount)).toBe(rows)
  const names = fs.readdirSync(`${base}/plain`).filter((name) => name.endsWith('.db'))
  expect(names.length).toBe(8)
  await until('the backup to hold the same', 60_000, async () => (await python(ROWS, await restored(names))) === rows)
})

test('commits of an exclusive connection in WAL mode, which has no wal-index, are in the log at once', async () => {
  const application = new Application()
  try {
    await application.open('a', `${mount}/alone.db`)
    await application.sql('a', 'PRAGMA locking_mode = exclusive')
    await application.sql('a', 'PRAGMA journal_mode = wal')
    await application.sql('a', 'CREATE TABLE t(v)')
    expect(fs.existsSync(`${mount}/alone.db-shm`)).toBe(false)
    const before = txid(await statusOf('alone.db'))
    for (let i = 0; i < 5; i++) await application.sql('a', 'INSERT INTO t VALUES (1)')
    expect(txid(await statusOf('alone.db')) - before).toBe(5)
    expect(await application.sql('a', 'PRAGMA wal_checkpoint(TRUNCATE)')).toEqual([[0, 0, 0]])
    await application.sql('a', 'INSERT INTO t VALUES (1)')
    expect(txid(await statusOf('alone.db')) - before).toBe(6)
  } finally {
    application.kill()
  }
})
