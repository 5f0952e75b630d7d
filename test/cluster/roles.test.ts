import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ltxd, type Outcome, program } from '../cli/run.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { until } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

describe.skipIf(findTool('consul') === undefined || findTool('sqlite3') === undefined)('roles on request', () => {
  let cluster: TestCluster

  beforeAll(async () => {
    cluster = await TestCluster.start({ nodes: 3, candidates: 2 })
  }, 60_000)

  afterAll(async () => cluster.stop(), 60_000)

  const sql = (member: ClusterMember, text: string): Promise<Outcome> =>
    program(findTool('sqlite3') ?? '', [`${member.mount}/a.db`, '.timeout 0', text])
  const cat = async (member: ClusterMember, file: string) => (await program('cat', [`${member.mount}/${file}`])).stdout

  async function roles(): Promise<[ClusterMember, ClusterMember]> {
    const primary = await cluster.settled()
    return [primary, cluster.members.find((member) => member !== primary) as ClusterMember]
  }

  test('"ltxd promote" makes a replica the primary, "ltxd handoff" reverses it; no commit is lost', async () => {
    const [first, second] = await roles()
    await sql(first, 'PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)')
    expect(await ltxd(['promote', '--data', second.data])).toMatchObject({ code: 0 })
    expect(await sql(second, 'INSERT INTO t VALUES (2); SELECT count(*) FROM t')).toMatchObject({ stdout: '2\n' })
    await cluster.settled()
    expect((await sql(first, 'INSERT INTO t VALUES (3)')).code).not.toBe(0)
    expect(await ltxd(['handoff', first.name, '--data', second.data])).toMatchObject({ code: 0 })
    await cluster.settled()
    expect((await first.status())?.role).toBe('primary')
    expect(await sql(first, 'INSERT INTO t VALUES (4); SELECT count(*) FROM t')).toMatchObject({ stdout: '3\n' })
  })

  test('promote on the primary changes nothing, and a handoff to an unknown node is rejected', async () => {
    const [primary] = await roles()
    expect(await ltxd(['promote', '--data', primary.data])).toMatchObject({ code: 0 })
    const unknown = await ltxd(['handoff', 'nobody', '--data', primary.data])
    expect(unknown.code).toBe(1)
    expect(unknown.stderr).toContain('nobody')
    expect((await primary.status())?.role).toBe('primary')
  })

  test('a handoff to a node that is no candidate is rejected, and the primary goes on', async () => {
    const [primary] = await roles()
    const { code, stderr } = await ltxd(['handoff', 'node-3', '--data', primary.data])
    expect(code).toBe(1)
    expect(stderr).toMatch(/node-3 cannot lead now: it is no candidate \(lease.candidate: false\). Nothing has changed/)
    expect(await sql(primary, 'CREATE TABLE u (a)')).toMatchObject({ code: 0 })
    expect((await primary.status())?.role).toBe('primary')
  })

  test('a handoff to a replica that a reader holds up is rejected with the reason, and commits go on meanwhile', async () => {
    const [primary, replica] = await roles()
    const held = (member: ClusterMember, text: string) =>
      program(findTool('sqlite3') ?? '', [`${member.mount}/held.db`, '.timeout 60000', text])
    await held(primary, 'CREATE TABLE t (a)')
    await until('the table', 60_000, async () => (await held(replica, 'SELECT count(*) FROM t')).code === 0)
    await using reader = new SqlClient(`${replica.mount}/held.db`, { timeoutMs: 60_000 })
    await reader.exec('BEGIN')
    expect(await reader.value('SELECT count(*) FROM t')).toBe(0)
    await held(primary, 'INSERT INTO t VALUES (1)')
    let isOver = false
    const handoff = ltxd(['handoff', replica.name, '--data', primary.data]).finally(() => (isOver = true))
    while (!isOver)
      expect(await held(primary, 'CREATE TABLE IF NOT EXISTS u (a); INSERT INTO u VALUES (1)')).toMatchObject({
        code: 0,
      })
    const { code, stderr } = await handoff
    expect(code).toBe(1)
    expect(stderr).toMatch(/cannot lead now: it is behind by [0-9]+ transactions?, .*Nothing has changed/)
    await reader.exec('COMMIT')
    await until('the row', 60_000, async () => (await held(replica, 'SELECT count(*) FROM t')).stdout === '1\n')
  })

  test('a plain file on a replica with the name of a new database of the primary moves to diverged/', async () => {
    const [primary, replica] = await roles()
    expect((await program('sh', ['-c', `echo text > ${replica.mount}/notes`])).code).toBe(0)
    const notes = (member: ClusterMember, text: string) =>
      program(findTool('sqlite3') ?? '', [`${member.mount}/notes`, text])
    await notes(primary, 'CREATE TABLE t (a); INSERT INTO t VALUES (42)')
    await until('the database on the replica', 60_000, async () => {
      return (await notes(replica, 'SELECT a FROM t')).stdout === '42\n'
    })
    const [kept = ''] = readdirSync(`${replica.data}/diverged/notes`)
    expect(readFileSync(`${replica.data}/diverged/notes/${kept}/database`, 'utf8')).toBe('text\n')
  })

  test('.primary, .lag and NAME-pos show applications primary, lag and position', async () => {
    const [primary, replica] = await roles()
    await sql(primary, 'CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (5)')
    expect(await cat(replica, '.primary')).toBe(`${primary.name}\n`)
    expect((await program('cat', [`${primary.mount}/.primary`])).code).not.toBe(0)
    const position = await cat(primary, 'a.db-pos')
    expect(position).toMatch(/^[0-9a-f]{16}\/[0-9a-f]{16}\n$/)
    await until('the same position on the replica', 60_000, async () => (await cat(replica, 'a.db-pos')) === position)
    expect(await cat(primary, '.lag')).toBe('+000000000\n')
    expect(await cat(replica, '.lag')).toMatch(/^\+\d{9}\n$/)
  })
})
