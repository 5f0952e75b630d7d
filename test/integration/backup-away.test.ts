/** The disk of a backup is not mounted: nothing is shipped into the directory below it, before and after a start. */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { BackupStatus, NodeStatus } from '../../src/api/status.ts'
import { ltxd } from '../cli/run.ts'
import { Application } from '../harness/application.ts'
import { HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

const NAMES = ['busy.db', 'idle.db']
const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

test(
  'while the disk of a backup is away the node says so, and ships everything once it is back',
  { timeout: 150_000 },
  async () => {
    const dir = fs.mkdtempSync(join(tmpdir(), 'ltxd-away-'))
    ends.push(() => fs.rmSync(dir, { recursive: true, force: true }))
    const [mount, data, backup, away] = ['mnt', 'data', 'backup', 'away'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
      string,
    ]
    const [config, logFile] = [join(dir, 'ltxd.yml'), join(dir, 'log')]
    const settings = 'sync-interval: 50ms\n  levels: [1s]\n  verify: { interval: 1s }\nstop-timeout: 5s\n'
    fs.writeFileSync(config, `backup:\n  url: "file://${backup}"\n  ${settings}`)
    const application = new Application()
    ends.push(() => application.kill())
    const start = async () => {
      const node = LtxdNode.start({ mount, data, logFile, arguments: ['--config', config] })
      ends.push(() => node.destroy())
      await node.mounted()
      await until('the API', HANG_MS, () => fs.existsSync(join(data, 'api.json')))
      for (const name of NAMES) await application.open(name, join(mount, name))
      return node
    }
    const backups = async () => {
      const { url } = JSON.parse(fs.readFileSync(join(data, 'api.json'), 'utf8')) as { url: string }
      const { databases } = (await (await fetch(new URL('/status', url))).json()) as NodeStatus
      return databases.map(({ position, backup }) => ({ position, ...backup }))
    }
    const shipped = () =>
      until('the backup', HANG_MS, async () =>
        (await backups()).every(({ position, txid }) => position.startsWith(`${txid}/`)),
      )
    const said = async () => {
      const isSaid = ({ problem, lastError }: BackupStatus) => (problem ?? lastError) !== undefined
      await until('the problem', 60_000, async () => (await backups()).some((backup) => isSaid(backup as BackupStatus)))
    }

    const node = await start()
    for (const name of NAMES) await application.sql(name, 'CREATE TABLE t (n)')
    await shipped()
    fs.renameSync(backup, away)
    fs.mkdirSync(backup)
    await application.sql('busy.db', 'INSERT INTO t VALUES (1)')
    await said()
    for (const name of NAMES) await application.close(name)
    expect((await node.stop()).code).toBe(1)
    expect(fs.readFileSync(logFile, 'utf8')).toMatch(/is not the backup that this node has used: it has no file/)
    const again = await start()
    await application.sql('busy.db', 'INSERT INTO t VALUES (2)')
    await said()
    expect(fs.readdirSync(backup)).toEqual([])

    fs.rmdirSync(backup)
    fs.renameSync(away, backup)
    await shipped()
    const out = join(dir, 'restored.db')
    expect(await ltxd(['restore', `file://${backup}`, 'busy.db', '-o', out])).toMatchObject({ code: 0 })

    // A new backup is meant.
    fs.rmSync(backup, { recursive: true })
    await said()
    fs.rmSync(join(data, 'backup.json'))
    await until('the new backup', HANG_MS, () => NAMES.every((name) => fs.existsSync(join(backup, name))))
    for (const name of NAMES) await application.close(name)
    expect((await again.stop()).code).toBe(0)
  },
)
