import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { until } from '../harness/wait.ts'
import { CheckpointedNode } from './checkpointed-node.ts'
import { OldSqlite } from './old-sqlite.ts'

const PROCESS = fileURLToPath(new URL('made-anew.py', import.meta.url))

/** Another database, only so that there is a local client. */
async function withClient(node: CheckpointedNode): Promise<{ pid: number; connections: OldSqlite[] }> {
  const first = new OldSqlite(node.at('other.db'))
  await first.sql('PRAGMA journal_mode = WAL')
  await first.sql('CREATE TABLE t(x)')
  const second = new OldSqlite(node.at('other.db'))
  await second.sql('SELECT * FROM t')
  await until('a local client', 60_000, () => node.client !== undefined)
  await node.guarded('other.db')
  return { pid: node.client as number, connections: [first, second] }
}

test.each(['all', 'database'])(
  'a database that is made anew while a checkpoint of its predecessor is under way loses nothing (%s files removed)',
  async (removed) => {
    await using node = await CheckpointedNode.start()
    const { pid, connections } = await withClient(node)
    const { stdout } = await promisify(execFile)('python3', [PROCESS, node.node.options.mount, String(pid), removed])
    expect(JSON.parse(stdout)).toEqual({ seen: 40, left: 40, sound: 'ok' })
    expect(node.client).toBe(pid)
    // That an application removes a WAL whose frames the file lacks is its own doing, and is said (I11).
    expect(node.log).not.toMatch(/checkpoint failed|complains|reports an error/)
    for (const connection of connections) await connection.close()
    await node.stopAndCompare('anew.db')
  },
)
