/**
 * A user of a replica's mount makes directories where a database's -wal or -journal is. The node starts again, and
 * serves everything else.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { TwoNodes } from '../cluster/two-nodes.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { HANG_MS } from '../harness/effort.ts'
import { until } from '../harness/wait.ts'
import { NOBODY } from './nobody.ts'

/** In which a database that fails would have got several snapshots. */
const OBSERVED_MS = 5_000

test.runIf(IS_ROOT)('a directory beside a database on a replica stops no start', { timeout: HANG_MS }, async () => {
  await using nodes = await TwoNodes.start({ config: 'fuse: { allow-other: true }\n' })
  const { primary, replica, cluster } = nodes
  await nodes.shell('chmod 755 "$1" && chmod 1777 "$2"', cluster.dir, replica.mount)
  const names = ['empty.db', 'full.db', 'good.db']
  for (const name of names) {
    await using application = nodes.open(primary, name)
    await application.exec('CREATE TABLE t (x)')
    await nodes.same(name)
  }
  const made = await nodes.shell(
    `cd "$1" && exec ${NOBODY.join(' ')} sh -euc "$2"`,
    replica.mount,
    'mkdir empty.db-wal full.db-wal full.db-wal/x absent.db-journal',
  )
  expect(made).toEqual({ code: 0, output: '' })
  await replica.node.stop()
  await replica.restart()
  await replica.node.mounted()
  for (const name of [...names, 'absent.db']) {
    await using application = nodes.open(primary, name)
    await application.exec("CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES ('x')")
    if (name !== 'full.db') await nodes.same(name)
  }
  const log = () => readFileSync(replica.node.options.logFile, 'utf8')
  const reason = `${replica.mount}/full.db-wal is a directory`
  await until('why full.db is not there', 60_000, () => log().includes(reason))
  expect(log()).not.toContain('a change of role failed')
  // What has arrived waits here, for as long as it takes: it does not come again and again.
  const startedAt = log().length
  await sleep(OBSERVED_MS)
  expect(log().slice(startedAt)).not.toContain('applying a snapshot')
  expect(readdirSync(`${replica.data}/temporary/spool`).length).toBeLessThanOrEqual(4)
  expect(await nodes.status(replica, 'good.db')).toMatchObject({ replication: { state: 'following' } })
  await nodes.shell('cd "$1" && rm -r full.db-wal', replica.mount)
  await nodes.same()
  await until('the spool to be empty', 60_000, () => readdirSync(`${replica.data}/temporary/spool`).length === 0)
})
