import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { fetchStatus } from '../../src/api/client.ts'
import { buildWith } from '../capture-fuzz/faulty-build.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'

const DEADLINE_MS = 60_000

/** Capture sees nothing of a WAL from some forty thousand bytes on. */
const BLIND = {
  name: 'capture is blind',
  file: 'capture/wal-tracker.ts',
  line: 'if (this.#frames !== undefined) this.#written(this.#frames, data, position)',
  replacement: 'if (this.#frames !== undefined && position < 40_000) this.#written(this.#frames, data, position)',
  foundAs: ['not in the log'],
}

let cli: string
beforeAll(async () => void (cli = await buildWith(BLIND)), DEADLINE_MS)

test.each([
  ['one connection', 0],
  ['several connections', 2],
])(
  'commits that capture has missed are an alarm a second later, and no commit follows (%s)',
  async (_, readers) => {
    const directory = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-blind-'))
    const [mount, data, logFile] = [join(directory, 'mount'), join(directory, 'data'), join(directory, 'log')]
    const port = await freePort()
    const node = LtxdNode.start({ mount, data, logFile, cli, http: `127.0.0.1:${port}` })
    const clients: SqlClient[] = []
    try {
      await node.mounted()
      const file = join(mount, 'a.db')
      const writer = new SqlClient(file)
      clients.push(writer)
      await writer.exec('PRAGMA journal_mode = WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)')
      for (let i = 0; i < readers; i++) {
        const reader = new SqlClient(file)
        clients.push(reader)
        await reader.value('SELECT count(*) FROM t')
      }
      for (let i = 0; i < 20; i++) await writer.exec('INSERT INTO t(b) VALUES (zeroblob(3000))')
      const alarms = async () => {
        const { databases } = await fetchStatus(`http://127.0.0.1:${port}`)
        return (databases[0]?.checkpoint?.alarms ?? 0) > 0
      }
      await until('an alarm', DEADLINE_MS, alarms)
      const isLogged = () => node.logTail(50).includes('the wal-index lists commits that were not captured')
      await until('a line', DEADLINE_MS, isLogged)
      await expect(writer.exec('INSERT INTO t(b) VALUES (1)')).rejects.toThrow(/disk I\/O error/)
      expect(await writer.value('SELECT count(*) FROM t')).toBe(20)
    } finally {
      for (const client of clients) await client[Symbol.asyncDispose]()
      await node.destroy()
      rmSync(directory, { recursive: true, force: true })
    }
  },
  2 * DEADLINE_MS,
)
