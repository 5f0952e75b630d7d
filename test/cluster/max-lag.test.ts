import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { localClients, signalProcess } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'
import type { SqlClient } from './sql-client.ts'
import { TwoNodes } from './two-nodes.ts'

const MODES = ['WAL', 'DELETE'] as const

/** Commits until `stop` is called, which returns how many commits there were. */
function committing(client: SqlClient) {
  let count = 0
  let isOver = false
  const run = async () => {
    for (; !isOver; count++) await client.exec('INSERT INTO t DEFAULT VALUES')
  }
  const done = run()
  done.catch(() => {})
  return {
    get count() {
      return count
    },
    async stop() {
      isOver = true
      await done
      return count
    },
  }
}

describe.skipIf(findTool('consul') === undefined)('with stream.max-lag', () => {
  let nodes: TwoNodes

  beforeAll(async () => {
    nodes = await TwoNodes.start({ config: 'stream: { max-lag: 200ms }\n' })
  }, 120_000)
  afterAll(() => nodes[Symbol.asyncDispose]())

  const intervalMs = async (name: string) => (await nodes.status(nodes.primary, name))?.commitIntervalMs

  test.each(MODES)(
    'commits in %s mode are slowed down while the replica lags, and nothing else waits',
    async (mode) => {
      const name = `${mode}.db`
      const writer = nodes.open(nodes.primary, name, { timeoutMs: 60_000 })
      const reader = nodes.open(nodes.primary, name, { timeoutMs: 60_000 })
      const other = nodes.open(nodes.primary, `other-${name}`, { timeoutMs: 60_000 })
      await writer.exec(`PRAGMA journal_mode = ${mode}`)
      await writer.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')
      await other.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')
      await reader.value('SELECT count(*) FROM t')
      await nodes.same()

      const [client = 0] = localClients(nodes.replica.node.pid)
      signalProcess(client, 'SIGSTOP')
      const commits = committing(writer)
      try {
        await until('slow commits', 60_000, async () => ((await intervalMs(name)) ?? 0) > 500)
        // Had either to wait for the writer's next commit, it would see as many commits as it reads.
        for (const each of [reader, other]) {
          const { count } = commits
          for (let i = 0; i < 5; i++) await each.value('SELECT count(*) FROM t')
          expect(commits.count - count).toBeLessThan(5)
        }
        const metrics = await (await fetch(`${nodes.primary.url}/metrics`)).text()
        expect(metrics).toMatch(new RegExp(`ltxd_db_commit_interval_seconds\\{db="${name}"\\} [0-9.]+`))
        const lines = readFileSync(nodes.primary.node.options.logFile, 'utf8').split('\n')
        const said = lines.filter((line) => line.includes('commits are slowed down') && line.includes(name))
        expect(said).toHaveLength(1)
      } finally {
        signalProcess(client, 'SIGCONT')
      }
      await until('fast commits', 60_000, async () => (await intervalMs(name)) === undefined)
      expect(await commits.stop()).toBe(await writer.value('SELECT count(*) FROM t'))
      await nodes.same()
    },
    180_000,
  )

  test('commits go on once a replica that has stopped is cut off, and nothing is lost', async () => {
    const name = 'WAL.db'
    const writer = nodes.open(nodes.primary, name)
    const commits = committing(writer)
    signalProcess(nodes.replica.node.pid, 'SIGSTOP')
    try {
      await until('the end of the stream', 60_000, async () => {
        return (await nodes.primary.status())?.cluster?.replicas.length === 0
      })
      await until('fast commits', 60_000, async () => (await intervalMs(name)) === undefined)
      const { count } = commits
      await until('more commits', 60_000, () => commits.count > count + 50)
    } finally {
      signalProcess(nodes.replica.node.pid, 'SIGCONT')
    }
    await commits.stop()
    await nodes.same()
  }, 180_000)
})
