import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { until, within } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

const MODES = ['WAL', 'DELETE', 'TRUNCATE', 'PERSIST'] as const
/** Writes wait twice as long: longer than a stop takes. */
const TTL = '30s'
const STOP_MS = 50_000
const INSERT = 'INSERT INTO t (v) VALUES (randomblob(300))'

describe.skipIf(findTool('consul') === undefined)('a node that was just started, before it has a role', () => {
  let cluster: TestCluster
  let member: ClusterMember
  const clients: SqlClient[] = []

  const open = (database: string) => {
    const client = new SqlClient(join(member.mount, database))
    clients.push(client)
    return client
  }
  /** Without an answer of Consul. */
  const restart = async () => {
    cluster.consul.freeze()
    await member.restart()
    await member.node.mounted()
  }

  beforeAll(async () => {
    cluster = await TestCluster.start({ nodes: 1, ttl: TTL })
    member = await cluster.primary()
    for (const mode of MODES) {
      await open(`${mode}.db`).exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (v BLOB); ${INSERT}`)
    }
  }, 120_000)

  afterAll(async () => {
    for (const client of clients) client.kill()
    await cluster.stop()
  })

  test('does not reject what is written then: it waits for the role in all journal modes, while reads go on', async () => {
    await member.node.kill()
    await restart()
    const before = Number(await open('WAL.db').value('SELECT count(*) FROM t'))
    const done: string[] = []
    const write = async (database: string, sql: string) => {
      await open(database).exec(sql)
      done.push(database)
    }
    const writes = [
      ...MODES.map((mode) => write(`${mode}.db`, INSERT)),
      write('new.db', `CREATE TABLE t (v BLOB); ${INSERT}`),
    ]
    const reader = open('DELETE.db')
    for (let i = 0; i < 20; i++) expect(await reader.value('SELECT count(*) FROM t')).toBe(before)
    expect(done).toEqual([])
    expect((await member.status())?.role).not.toBe('primary')
    cluster.consul.thaw()
    await within('the writes', 60_000, Promise.all(writes))
    for (const mode of MODES) {
      await reader.exec(`ATTACH '${join(member.mount, `${mode}.db`)}' AS it`)
      expect(await reader.value('SELECT count(*) FROM it.t')).toBe(before + 1)
      expect(await reader.value('PRAGMA it.integrity_check')).toBe('ok')
      await reader.exec('DETACH it')
    }
  }, 120_000)

  test('lets a writer that waits be killed, and a clean stop ends the wait of the others with an error', async () => {
    await member.node.stop()
    await restart()
    const writers = [open('WAL.db'), open('DELETE.db')] as const
    for (const writer of writers) await writer.value('SELECT count(*) FROM t')
    const errors = writers.map((writer) => writer.errorOf(INSERT).catch(() => undefined))
    await until('writers that wait', 30_000, () => writers.every(({ pid }) => isWaiting(pid)))
    await within('a killed writer', STOP_MS, writers[0][Symbol.asyncDispose]())
    const exit = member.node.stop()
    const [other] = await within('the other one', STOP_MS, Promise.all(errors.slice(1)))
    expect(other?.code).toMatch(/SQLITE_IOERR/)
    writers[1].kill()
    await exit
    cluster.consul.thaw()
    await member.restart()
    await cluster.primary()
    for (const database of ['WAL.db', 'DELETE.db']) {
      expect(await open(database).value('PRAGMA integrity_check')).toBe('ok')
    }
  }, 120_000)
})

/** For an answer of the file system. */
function isWaiting(pid: number): boolean {
  return readFileSync(`/proc/${pid}/wchan`, 'utf8').startsWith('request_wait')
}
