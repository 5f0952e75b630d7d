import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Application } from '../capture-fuzz/application.ts'
import { applicationWith } from '../capture-fuzz/sqlite-builds.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { processTree } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'

let base: string
let node: LtxdNode | undefined
let application: Application | undefined
let stopped: number[] = []
beforeEach(() => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-mended-'))
})
afterEach(async () => {
  for (const pid of stopped) process.kill(pid, 'SIGCONT')
  stopped = []
  await application?.kill()
  await node?.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

/**
 * The last transaction spills, and is rolled back to a savepoint: SQLite up to 3.50.3 leaves frames without checksums.
 * The wal-index of exclusive mode is in the memory of its connection, so whoever opens the database next recovers it.
 */
const COMMANDS = [
  ['sql', '0', 'PRAGMA cache_size = 5'],
  ['sql', '0', 'PRAGMA page_size = 1024'],
  ['sql', '0', 'PRAGMA locking_mode = EXCLUSIVE'],
  ['sql', '0', 'PRAGMA journal_mode = WAL'],
  ['sql', '0', 'CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v)'],
  [
    'sql',
    '0',
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) INSERT INTO t (k, v) SELECT i, noise(i + 1261, 341) FROM n',
  ],
  ['sql', '0', 'UPDATE t SET k = 5929 WHERE id BETWEEN 1 AND 6'],
  [
    'sql',
    '0',
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1) INSERT INTO t (k, v) SELECT i, noise(i + 4917, 16) FROM n',
  ],
  ['sql', '0', 'BEGIN'],
  [
    'sql',
    '0',
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) INSERT INTO t (k, v) SELECT i, noise(i + 3299, 478) FROM n',
  ],
  ['sql', '0', 'COMMIT'],
  ['sql', '0', 'BEGIN'],
  ['blob', '0', 'main', 't', 'v', '1', '171', '200', '9005'],
  ['sql', '0', 'SAVEPOINT s0'],
  ['sql', '0', 'UPDATE t SET v = noise(id + 3029, 445) WHERE id BETWEEN 1 AND 101'],
  ['sql', '0', 'ROLLBACK TO s0'],
  ['sql', '0', 'UPDATE t SET v = noise(id + 4302, 162) WHERE id BETWEEN 1 AND 151'],
  ['sql', '0', 'COMMIT'],
]

/** The processes that tell the kernel what to drop from its cache. */
function notifiersOf(pid: number): number[] {
  return processTree(pid).filter((each) => fs.readFileSync(`/proc/${each}/cmdline`, 'utf8').includes('ltxd-notifier'))
}

/** Whoever commits them dies at once. */
async function commit(mount: string, file: string): Promise<void> {
  application = new Application(await applicationWith('system'), mount, 1, 0)
  expect((await application.ask(['open', '0', file, 'rw'])).code).toBe(0)
  for (const command of COMMANDS) expect(await application.ask(command)).toMatchObject({ code: 0 })
  await application.kill()
}

test('what was committed after a rollback to a savepoint is found by whoever recovers the WAL, at once', async () => {
  const mount = `${base}/mount`
  node = LtxdNode.start({ mount, data: `${base}/data`, logFile: `${base}/log` })
  const { pid } = node
  await node.mounted()
  await commit(mount, 'first.db')
  await until('the first notification', 60_000, () => notifiersOf(pid).length === 1)
  // The kernel is told nothing more of frames that were mended: whoever opens the WAL must not read what it has cached.
  stopped = notifiersOf(pid)
  for (const each of stopped) process.kill(each, 'SIGSTOP')
  await commit(mount, 'a.db')
  application = new Application(await applicationWith('system'), mount, 2, 0)
  expect((await application.ask(['open', '0', 'a.db', 'rw'])).code).toBe(0)
  const { text } = await application.ask(['sql', '0', 'SELECT count(*) FROM t WHERE v = noise(id + 4302, 162)'])
  expect(text).toMatch(/^11\n/)
})
