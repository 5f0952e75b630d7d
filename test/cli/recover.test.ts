import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SqlClient } from '../cluster/sql-client.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { detach } from '../harness/mounts.ts'
import { until } from '../harness/wait.ts'
import { ltxd, program } from './run.ts'

/** `ltxd recover` after kill -9 of a node whose application had a WAL open. */

let dir: string
let data: string
let mount: string
let node: LtxdNode

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-recover-')))
  data = join(dir, 'data')
  mount = join(dir, 'mnt')
  node = LtxdNode.start({ mount, data, logFile: join(dir, 'log') })
  await node.mounted()
})

afterEach(async () => {
  await node.destroy()
  await detach(mount)
  await rm(dir, { recursive: true, force: true })
})

const recover = (...args: string[]) => ltxd(['recover', '--data', data, ...args], { cwd: dir })

/** Makes two databases with commits that are only in log and WAL, then kills the node. */
async function crash(): Promise<void> {
  for (const name of ['a.db', 'b.db']) {
    const application = new SqlClient(join(mount, name))
    try {
      await application.exec('PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)')
      if (name === 'b.db') await node.kill()
    } finally {
      application.kill()
    }
  }
  await detach(mount)
}

/** The size and the bytes of every file in the data directory. */
function everything(): Map<string, string> {
  const names = readdirSync(data, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(data, name)).isFile(),
  )
  return new Map(names.sort().map((name) => [name, readFileSync(join(data, name)).toString('base64')]))
}

test('--dry-run shows the plan and changes nothing; without it the plan is carried out', async () => {
  await crash()
  const before = everything()
  const shown = await recover('--dry-run')
  expect(shown).toMatchObject({ code: 0, stderr: '' })
  expect(shown.stdout).toMatch(/^a\.db\n {2}log +at [0-9a-f]{16}\/[0-9a-f]{16}.*\n(.+\n)* {2}1\. /)
  expect(shown.stdout).toMatch(/^b\.db$/m)
  const json = JSON.parse((await recover('--dry-run', '--json')).stdout) as {
    databases: { name: string; verdict: string; text: string[] }[]
  }
  expect(json.databases.map(({ name, verdict }) => [name, verdict])).toEqual([
    ['a.db', 'recover'],
    ['b.db', 'recover'],
  ])
  expect(everything()).toEqual(before)

  const done = await recover('a.db')
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(done.stdout).toMatch(/^a\.db: at [0-9a-f]{16}\/[0-9a-f]{16}\n/)
  for (const step of json.databases[0]?.text ?? []) expect(done.stdout).toContain(`  ${step}\n`)
  const query = ['-readonly', join(data, 'files/a.db'), 'PRAGMA integrity_check; SELECT sum(x) FROM t']
  expect(await program('sqlite3', query)).toMatchObject({ code: 0, stdout: 'ok\n6\n' })

  expect((await recover()).code).toBe(0)
  expect((await program('sqlite3', ['-readonly', join(data, 'files/b.db'), 'SELECT sum(x) FROM t'])).stdout).toBe('6\n')
})

test('a database that cannot be recovered is named with reason and remedy, and the exit code is 1', async () => {
  for (const name of ['a.db', 'b.db'])
    await program('sqlite3', [join(mount, name), 'CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)'])
  // Damage before the synced position: this is no torn tail.
  await node.stop()
  const log = join(data, 'log/a.db.ltx')
  const segment = join(log, readdirSync(log).find((name) => name.endsWith('.ltxlog')) ?? '')
  const bytes = readFileSync(segment)
  bytes[200] = (bytes[200] ?? 0) ^ 0xff
  writeFileSync(segment, bytes)
  const before = everything()
  for (const args of [['--dry-run'], []]) {
    const { code, stdout, stderr } = await recover(...args)
    expect(code).toBe(1)
    expect(stdout + stderr).toMatch(/a\.db[^]*not served/)
    expect(stderr).not.toMatch(/^ {4}at /m)
    if (args.length > 0) expect(everything()).toEqual(before)
  }
  // The other database is recovered nevertheless.
  expect((await program('sqlite3', ['-readonly', join(data, 'files/b.db'), 'SELECT sum(x) FROM t'])).stdout).toBe('6\n')
})

test('does nothing while a node runs on the data directory', async () => {
  const { code, stderr } = await recover()
  expect(code).toBe(1)
  expect(stderr).toMatch(/^ltxd: .*(run|use|serve|lock)/)
  await until('the API', 60_000, () => existsSync(join(data, 'api.json')))
})

test('a missing data directory, and the name of no database, are errors that name it', async () => {
  expect((await ltxd(['recover', '--data', join(dir, 'nowhere')])).stderr).toMatch(/nowhere/)
  await crash()
  const { code, stderr, stdout } = await recover('--dry-run', 'c.db')
  expect([code, stdout + stderr]).toEqual([expect.any(Number), expect.stringContaining('c.db')])
})
