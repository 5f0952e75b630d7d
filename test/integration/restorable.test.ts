/** What happens to objects of a backup under a running node: it notices, says so, and heals it. */

import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { BackupStatus, NodeStatus } from '../../src/api/status.ts'
import { loadHistory } from '../../src/backup/history/history.ts'
import { NEWEST, planRestore } from '../../src/backup/history/plan.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { ltxd, program } from '../cli/run.ts'
import { bucketForTests } from '../cluster/bucket.ts'
import { Application } from '../harness/application.ts'
import { HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { OBJECT_DAMAGES, type ObjectDamage } from '../harness/object-damage.ts'
import { until } from '../harness/wait.ts'

const bucket = bucketForTests('restorable')
const ROWS = 5

/** Nothing but the measurement reads or lists the backup. */
const CONFIG = `
  sync-interval: 50ms
  levels: [24h]
  verify: { interval: 1s }
ready: { backup: fail }
`

/** By the database that it happens to. */
const DAMAGES: Readonly<Record<string, ObjectDamage>> = {
  'deleted.db': OBJECT_DAMAGES.deleted,
  'emptied.db': OBJECT_DAMAGES.emptied,
  'cut.db': OBJECT_DAMAGES.cut,
  'page.db': OBJECT_DAMAGES['replaced by a page of HTML'],
  'page-of-its-size.db': OBJECT_DAMAGES['replaced by a page of HTML of its size'],
  'older.db': OBJECT_DAMAGES['replaced by an older object'],
}
const NAMES = Object.keys(DAMAGES)

async function serving(dir: string, url: string) {
  const { ends } = bucket
  const [mount, data, logFile, config] = ['mnt', 'data', 'log', 'ltxd.yml'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ]
  fs.mkdirSync(dir, { recursive: true })
  fs.writeFileSync(config, `backup:\n  url: "${url}"${CONFIG}`)
  const node = LtxdNode.start({ mount, data, logFile, arguments: ['--config', config] })
  ends.push(() => node.destroy())
  await node.mounted()
  await until('the API', HANG_MS, () => fs.existsSync(join(data, 'api.json')))
  const api = JSON.parse(fs.readFileSync(join(data, 'api.json'), 'utf8')) as { url: string }
  const application = new Application()
  ends.push(() => application.kill())
  const store = openObjectStore(url)
  ends.push(() => store.close())
  const get = (path: string) => fetch(new URL(path, api.url), { signal: AbortSignal.timeout(HANG_MS) })
  const backups = async () => {
    const { databases } = (await (await get('/status')).json()) as NodeStatus
    return new Map(databases.map(({ name, position, backup }) => [name, { position, ...backup }]))
  }
  const waiting = async (what: string, condition: (backup: BackupStatus & { position: string }) => boolean) => {
    await until(what, HANG_MS, async () => {
      const all = await backups()
      return NAMES.every((name) => {
        const backup = all.get(name)
        return backup?.txid !== undefined && condition({ ...backup, txid: backup.txid, lagMs: backup.lagMs ?? 0 })
      })
    })
  }
  const shipped = () => waiting('the backup', ({ txid, position }) => position.startsWith(`${txid}/`))
  const verified = () => {
    const sinceMs = Date.now()
    return waiting('a measurement', ({ restorable }) => (restorable?.verifiedAtMs ?? 0) > sinceMs)
  }
  const log = () => fs.readFileSync(logFile, 'utf8')
  return { data, application, mount, store, get, backups, shipped, verified, log }
}

const places = {
  'a directory': (dir: string) => Promise.resolve(`file://${dir}/backup`),
  'a bucket': () => bucket.server.freshUrl(),
}

test.each(Object.entries(places))(
  'an object that is deleted, emptied, cut or replaced in %s is noticed, said, and healed',
  async (place, urlIn) => {
    const dir = join(bucket.root, place.replace(' ', '-'))
    const url = await urlIn(dir)
    const { data, application, mount, store, get, backups, shipped, verified, log } = await serving(dir, url)
    for (const name of NAMES) {
      await application.open(name, join(mount, name))
      await application.sql(name, 'PRAGMA journal_mode = wal')
      await application.sql(name, 'CREATE TABLE t (n, data)')
    }
    await until('the snapshots', HANG_MS, async () => {
      const files = await Promise.all(NAMES.map(async (name) => (await loadHistory(store, name)).files))
      return files.every((of) => of.some(({ level }) => level === 9))
    })
    for (let n = 1; n <= ROWS; n++) {
      for (const name of NAMES) await application.sql(name, `INSERT INTO t VALUES (${n}, randomblob(${500 * n}))`)
      await shipped()
    }
    await verified()
    const damage = async (name: string) => {
      const plan = planRestore(await loadHistory(store, name), NEWEST)
      const [older, victim] = plan.slice(-3)
      await DAMAGES[name]!(store, victim!.key, older!.key)
    }
    for (const name of NAMES) await damage(name)
    // The first may be of a listing from before.
    await verified()
    await verified()
    for (const name of NAMES) {
      expect(log()).toMatch(new RegExp(`gap or is damaged: shipping a snapshot .*database=${name}`))
      const out = join(dir, `restored-${name}`)
      expect(await ltxd(['restore', url, name, '-o', out, '--strict'])).toMatchObject({ code: 0 })
      const rows = await program('sqlite3', [out, 'SELECT group_concat(n) FROM t; PRAGMA integrity_check'])
      expect(rows.stdout).toBe('1,2,3,4,5\nok\n')
    }
    expect(Array.from(await backups(), ([, { problem }]) => problem)).toEqual(NAMES.map(() => undefined))
    expect((await get('/ready')).status).toBe(200)
    // Another finding within the hour waits for a minute.
    await application.sql('deleted.db', 'INSERT INTO t VALUES (6, 6)')
    await application.sql('deleted.db', 'INSERT INTO t VALUES (7, 7)')
    await shipped()
    await store.delete(planRestore(await loadHistory(store, 'deleted.db'), NEWEST).map(({ key }) => key))
    await until('the problem', HANG_MS, async () => (await backups()).get('deleted.db')?.problem !== undefined)
    expect((await ltxd(['status', '--data', data])).stdout).toMatch(/deleted\.db .*verified .* ago, problem: /)
    expect(await (await get('/ready')).text()).toMatch(/the backup of database deleted\.db: /)
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toMatch(/^ltxd_db_backup_problem\{db="deleted\.db"\} 1$/m)
    expect(metrics).toMatch(/^ltxd_db_backup_problem\{db="cut\.db"\} 0$/m)
    expect(metrics).toMatch(/^ltxd_db_backup_unverified_seconds\{db="cut\.db"\} [0-9.]+$/m)
  },
  3 * HANG_MS,
)
