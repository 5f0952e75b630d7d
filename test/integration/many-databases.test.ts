import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SqlClient } from '../cluster/sql-client.ts'
import { effort } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { processTree } from '../harness/processes.ts'
import { until } from '../harness/wait.ts'

const DATABASES = effort(100, 1000)
/** The descriptors of all processes of an idle node, and a few that are open for a moment. */
const FEW_DESCRIPTORS = 60

test('databases that no application has open need no descriptors, after writes and after a start', async () => {
  const base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-many-'))
  onTestFinished(() => fs.rmSync(base, { recursive: true, force: true }))
  const options = { mount: path.join(base, 'mount'), data: path.join(base, 'data'), logFile: path.join(base, 'log') }
  let node = LtxdNode.start(options)
  onTestFinished(() => node.destroy())
  await node.mounted()

  const application = new SqlClient(path.join(options.mount, 'first.db'))
  await using _application = application
  await application.exec('CREATE TABLE t(x)')
  for (let i = 0; i < DATABASES; i++) {
    await application.exec(
      `ATTACH '${path.join(options.mount, `${i}.db`)}' AS other; CREATE TABLE other.t(x); INSERT INTO other.t VALUES (${i}); DETACH other`,
    )
  }
  const descriptors = () =>
    processTree(node.pid).reduce((sum, pid) => sum + fs.readdirSync(`/proc/${pid}/fd`).length, 0)
  expect(fs.readdirSync(path.join(options.data, 'log'))).toHaveLength(DATABASES + 1)
  await until('their descriptors to be given back', 60_000, () => descriptors() < FEW_DESCRIPTORS)
  // Each database still exists.
  for (const i of [0, DATABASES - 1]) {
    await application.exec(`ATTACH '${path.join(options.mount, `${i}.db`)}' AS other; INSERT INTO other.t VALUES (-1)`)
    expect(await application.value('SELECT sum(x) FROM other.t')).toBe(i - 1)
    await application.exec('DETACH other')
  }
  await application.close()
  expect((await node.stop()).code).toBe(0)
  node = LtxdNode.start(options)
  await node.mounted()
  await until('few descriptors after a start', 60_000, () => descriptors() < FEW_DESCRIPTORS)
})
