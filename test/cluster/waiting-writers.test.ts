import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import type { ClusterMember } from '../harness/cluster.ts'
import { until } from '../harness/wait.ts'
import { SqlError } from './sql-client.ts'
import { TwoNodes } from './two-nodes.ts'

const MODES = ['WAL', 'DELETE', 'PERSIST'] as const
/** Longer than a change of the primary takes: who waits for a lock, waits until this node leads. */
const BUSY_MS = 60_000
const PROMOTIONS = 4
const ROWS_BEFORE_THE_NEXT = 5

/** How a write fails on a replica. */
const REJECTED = ['SQLITE_READONLY_DIRECTORY', 'SQLITE_IOERR_WRITE']

/** Writes again and again until it is stopped. Until its node leads, its writes are rejected. */
class Writer {
  readonly errors: string[] = []
  written = 0
  stopped = false
  readonly done: Promise<void>

  constructor(nodes: TwoNodes, member: ClusterMember, mode: string) {
    const client = nodes.open(member, `${mode}.db`, { timeoutMs: BUSY_MS })
    const run = async () => {
      while (!this.stopped) {
        try {
          await client.exec('INSERT INTO t (filler) VALUES (randomblob(300))')
          this.written++
        } catch (error) {
          if (!(error instanceof SqlError)) throw error
          if (this.written > 0 || !REJECTED.includes(error.code)) this.errors.push(`${mode}: ${error.code}`)
        }
      }
      client.kill()
    }
    this.done = run()
  }
}

describe.skipIf(findTool('consul') === undefined)('writers that wait on a node that becomes the primary', () => {
  let nodes: TwoNodes

  beforeAll(async () => {
    nodes = await TwoNodes.start({ ttl: '10s' })
    for (const mode of MODES) {
      const client = nodes.open(nodes.primary, `${mode}.db`)
      await client.exec(`PRAGMA journal_mode = ${mode}`)
      await client.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, filler BLOB)')
      await client.close()
    }
    await nodes.same()
  }, 120_000)

  afterAll(() => nodes[Symbol.asyncDispose]())

  /** Until it succeeds: a replica that does not have everything yet cannot lead. */
  async function handOff(from: ClusterMember, to: ClusterMember): Promise<void> {
    await until('a handoff', 60_000, async () => {
      await nodes.cluster.settled()
      const answer = await fetch(`${from.url}/handoff`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ node: to.name }),
      })
      return answer.status === 200
    })
  }

  test('write on as soon as it leads, through the same connections, without another error, and nothing is lost', async () => {
    let [from, to] = [nodes.primary, nodes.replica]
    let written = 0
    for (let i = 0; i < PROMOTIONS; i++) {
      const writers = MODES.flatMap((mode) => [new Writer(nodes, to, mode), new Writer(nodes, to, mode)])
      await handOff(from, to)
      const have = () => writers.every((writer) => writer.written >= ROWS_BEFORE_THE_NEXT || writer.errors.length > 0)
      await until('what the writers wrote', 60_000, have)
      for (const writer of writers) writer.stopped = true
      for (const writer of writers) await writer.done
      expect(writers.flatMap(({ errors }) => errors)).toEqual([])
      written += writers.reduce((sum, writer) => sum + writer.written, 0)
      ;[from, to] = [to, from]
    }
    await nodes.same()
    const counts = await Promise.all(
      MODES.map((mode) => nodes.open(to, `${mode}.db`).value('SELECT count(*) FROM t') as Promise<number>),
    )
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(written)
  }, 180_000)
})
