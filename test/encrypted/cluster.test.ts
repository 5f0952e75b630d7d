import fs from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ltxd } from '../cli/run.ts'
import { TwoNodes } from '../cluster/two-nodes.ts'
import type { ClusterMember } from '../harness/cluster.ts'
import { until } from '../harness/wait.ts'
import { type Engine, Session } from './session.ts'

const ENGINES = ['sqlcipher', 'sqlcipher-readable-header', 'chacha20', 'aes256cbc'] as const
const MANY =
  'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM c'

const isMissing = findTool('python3-encrypted') === undefined || findTool('consul') === undefined
let nodes: TwoNodes
const sessions: Session[] = []

const open = (engine: Engine, member: ClusterMember, key?: string) => {
  const session = new Session(engine, join(member.mount, `${engine}.db`), key)
  sessions.push(session)
  return session
}

describe.skipIf(isMissing)('encrypted databases in a cluster', () => {
  beforeAll(async () => {
    nodes = await TwoNodes.start()
  })
  afterAll(async () => {
    for (const session of sessions) session.kill()
    await nodes[Symbol.asyncDispose]()
  })

  test('readers with the key follow on the replica, which can be promoted, killed and made anew', async () => {
    const { primary, replica, cluster } = nodes
    const writers = ENGINES.map((engine) => open(engine, primary))
    for (const writer of writers)
      await writer.run('PRAGMA journal_mode = WAL', 'CREATE TABLE t (a INTEGER PRIMARY KEY, b)', MANY)
    await nodes.same()
    const readers = ENGINES.map((engine) => open(engine, replica))
    for (const reader of readers) expect(await reader.value('SELECT count(*) FROM t')).toBe(1000)
    for (const writer of writers) {
      await writer.run("UPDATE t SET b = 'x' WHERE a < 100", 'PRAGMA wal_checkpoint', 'DELETE FROM t WHERE a % 2 = 0')
      await writer.run('VACUUM', 'PRAGMA wal_checkpoint', "INSERT INTO t VALUES (2000, 'last')")
    }
    await nodes.same()
    for (const reader of readers) {
      expect(await reader.value("SELECT count(*) FROM t WHERE b = 'x'")).toBe(50)
      expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
      await reader.run('PRAGMA busy_timeout = 0')
      expect(await reader.errorOf("INSERT INTO t VALUES (3000, 'replica')")).toBeDefined()
    }
    expect((await replica.status())?.databases.map(({ encrypted }) => encrypted)).toEqual([true, true, true, true])

    for (const { node } of cluster.members)
      expect(fs.readFileSync(node.options.logFile, 'utf8')).not.toMatch(/encrypted, is/)

    // A file is whole when its database is quiet.
    const files = () =>
      ENGINES.map((engine) => fs.readFileSync(join(replica.data, 'files', `${engine}.db`)).toString('base64'))
    const copies = async () => {
      const plain = ENGINES.map((engine) => join(cluster.dir, `${engine}.copy`))
      files().forEach((file, i) => fs.writeFileSync(plain[i] as string, Buffer.from(file, 'base64')))
      return Promise.all(plain.map((file, i) => valueIn(ENGINES[i] as Engine, file, 'SELECT count(*) FROM t')))
    }
    await until('whole files', 60_000, async () => (await copies()).every((count) => count === 501))

    expect(await ltxd(['promote', '--data', replica.data])).toMatchObject({ code: 0 })
    await cluster.settled()
    for (const reader of readers)
      await reader.run('PRAGMA busy_timeout = 30000', "INSERT INTO t VALUES (3000, 'promoted')")
    await nodes.same()
    for (const writer of writers) expect(await writer.value('SELECT count(*) FROM t')).toBe(502)

    await primary.node.killTree()
    for (const writer of writers) writer.kill()
    for (const reader of readers) await reader.run("INSERT INTO t VALUES (3001, 'alone')", 'PRAGMA wal_checkpoint')
    await primary.restart()
    await cluster.settled()
    await nodes.same()
    await primary.node.stop()
    await primary.restart({ fresh: true })
    await cluster.settled()
    await nodes.same()
    for (const engine of ENGINES) {
      const reader = open(engine, primary)
      expect(await reader.value('SELECT count(*) FROM t')).toBe(503)
      expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
    }
  }, 240_000)
})

async function valueIn(engine: Engine, file: string, sql: string): Promise<unknown> {
  const session = new Session(engine, file)
  try {
    return await session.value(sql)
  } catch {
    return undefined
  } finally {
    session.kill()
  }
}
