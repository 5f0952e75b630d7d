import { expect, test } from 'vitest'
import { signalProcess } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'
import type { SqlClient } from './sql-client.ts'
import { SqlError } from './sql-client.ts'
import { TwoNodes } from './two-nodes.ts'

const ROWS =
  'WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c LIMIT 400) SELECT value, 0, randomblob(1500) FROM c'

async function create(application: SqlClient, mode: string): Promise<void> {
  await application.exec(`PRAGMA journal_mode = ${mode}`)
  await application.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, filler BLOB)')
  await application.exec(`INSERT INTO t ${ROWS}`)
}

/** Changes more than the cache holds, so uncommitted pages reach the WAL, or the file beside a hot journal. */
async function beginLarge(application: SqlClient): Promise<void> {
  await application.exec('PRAGMA cache_size = 10')
  await application.exec('BEGIN IMMEDIATE')
  await application.exec('UPDATE t SET n = n + 1, filler = randomblob(1500)')
}

/** The ways in which the leader loses its lease during a transaction. */
const ENDS = {
  'an operator gives the lease to another': async (nodes: TwoNodes) => {
    const { consul } = nodes.cluster
    const record = JSON.parse((await consul.get('ltxd/primary')) ?? '') as { term: string }
    const { nodeId = '' } = (await nodes.replica.status()) ?? {}
    const holder = { nodeId, hostname: nodes.replica.name, url: nodes.replica.url }
    await consul.put('ltxd/primary', JSON.stringify({ ...record, term: String(BigInt(record.term) + 1n), holder }))
    await until('the end of the lead', 60_000, async () => (await nodes.primary.status())?.role !== 'primary')
  },
  'another takes over while it is stopped': async (nodes: TwoNodes) => {
    signalProcess(nodes.primary.node.pid, 'SIGSTOP')
    await until('another leader', 60_000, async () => (await nodes.replica.status())?.role === 'primary')
    signalProcess(nodes.primary.node.pid, 'SIGCONT')
    await until('the end of the lead', 60_000, async () => (await nodes.primary.status())?.role !== 'primary')
  },
  'it hands the lead over': async (nodes: TwoNodes) => {
    const answer = await fetch(`${nodes.primary.url}/handoff`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ node: nodes.replica.name }),
    })
    expect(answer.status).toBe(200)
  },
} as const

const MODES = ['WAL', 'DELETE', 'PERSIST']
/** What an application does after its COMMIT has failed. */
const HABITS = ['committing', 'rolled-back', 'closed', 'killed'] as const

interface Usage {
  readonly name: string
  readonly mode: string
  readonly habit: (typeof HABITS)[number]
  readonly application: SqlClient
}

test.each(Object.entries(ENDS))(
  'a lead that ends because %s: open transactions of each mode fail, and the node follows',
  async (_, end) => {
    await using nodes = await TwoNodes.start({ ttl: '3s' })
    const usages = MODES.flatMap((mode) =>
      HABITS.map((habit): Usage => {
        const name = `${habit}-${mode.toLowerCase()}.db`
        return { name, mode, habit, application: nodes.open(nodes.primary, name) }
      }),
    )
    for (const { application, mode } of usages) await create(application, mode)
    await nodes.same()
    for (const { application } of usages) await beginLarge(application)
    try {
      await end(nodes)
      for (const { application, habit } of usages) {
        if (habit === 'committing') await expect(application.exec('COMMIT')).rejects.toThrow(SqlError)
        if (habit === 'committing') await application.errorOf('ROLLBACK')
        if (habit === 'rolled-back') await application.exec('ROLLBACK')
        if (habit === 'closed') await application.close()
        if (habit === 'killed') application.kill()
      }
      const leader = await nodes.cluster.primary()
      const follower = nodes.cluster.members.find((member) => member !== leader) ?? leader
      await nodes.cluster.settled()
      for (const { name } of usages) {
        await using writer = nodes.open(leader, name, { timeoutMs: 30_000 })
        expect(await writer.value('SELECT max(n) FROM t'), name).toBe(0)
        await writer.exec('UPDATE t SET n = n + 7 WHERE id = 1')
        await writer.close()
      }
      await nodes.same()
      for (const { name } of usages) {
        await using reader = nodes.open(follower, name, { timeoutMs: 30_000 })
        expect(await reader.value('PRAGMA integrity_check'), name).toBe('ok')
        expect(await reader.value('SELECT sum(n) FROM t'), name).toBe(7)
      }
      for (const { application, habit, name } of usages) {
        if (habit === 'committing' || habit === 'rolled-back')
          expect(await application.value('SELECT sum(n) FROM t'), name).toBe(7)
      }
    } catch (error) {
      throw nodes.explain(error)
    }
  },
)
