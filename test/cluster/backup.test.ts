import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { loadHistory } from '../../src/backup/history/history.ts'
import { restorablePoints } from '../../src/backup/history/plan.ts'
import { restoreDatabase } from '../../src/backup/restore/restore.ts'
import { formatTXID, parseTXID, toTXID, type TXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { ltxd } from '../cli/run.ts'
import { shorten } from '../harness/limits.ts'
import { signalProcess } from '../harness/processes.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { divergedReports } from './diverged.ts'
import { ShippedCluster } from './shipped-cluster.ts'

/** Leaders are killed and stopped, and machines are lost, but the bucket loses nothing. */

const run = promisify(execFile)
const LITESTREAM = process.env['LITESTREAM_BIN'] ?? findTool('litestream')
const missing = [
  ...(findTool('consul') ? [] : ['consul']),
  ...(findS3Server('versitygw') ? [] : ['versitygw']),
  ...(LITESTREAM ? [] : ['litestream']),
]
if (missing.length > 0 && process.env['CI'] === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

describe.skipIf(missing.length > 0)('a cluster and its bucket', () => {
  shorten({ uploadMs: 4_000 })
  const before = { ...process.env }
  let server: S3Server

  beforeAll(async () => {
    server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
  })

  afterAll(async () => {
    await server?.stop()
    process.env = before
  })

  test('transactions that a killed leader shipped, but no replica received, are there under the next leader', async () => {
    await using both = await ShippedCluster.start(server)
    const { first: leader, second: replica } = both
    // The replica begins with a snapshot, whose position is inside a file of the bucket.
    both.cutStream(leader)
    both.way(leader).hold()
    const app = await both.create(leader)
    await both.insert(app, 'both', 20)
    both.mendStream(leader)
    await both.same()
    const reader = both.open(replica)
    expect(await reader.value('SELECT count(*) FROM t')).toBe(20)

    both.cutStream(leader)
    await app.exec('UPDATE t SET data = randomblob(10) WHERE id < 9')
    await app.exec('UPDATE t SET data = randomblob(10) WHERE id > 15')
    both.way(leader).release()
    for (const round of [1, 2, 3]) {
      await both.insert(app, `shipped ${round}`, round * 3)
      await both.shipped(leader)
    }
    const { position } = await both.shipped(leader)
    expect((await both.status(replica))?.position).not.toBe(position)
    await leader.node.killTree()
    app.kill()

    await both.leads(replica)
    expect((await both.status(replica))?.position).toBe(position)
    expect(both.log(replica)).toMatch(/the backup is ahead: applying its transactions before leading/)
    expect(await reader.value('SELECT count(*) FROM t')).toBe(38)
    expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
  })

  test('an instance without data boots from the bucket, and catches up with its primary by transactions', async () => {
    await using both = await ShippedCluster.start(server)
    const { first: leader, second: fresh } = both
    const app = await both.create(leader)
    await both.insert(app, 'shipped', 20)
    await both.shipped(leader)
    await fresh.node.destroy()
    // Only the primary has these transactions.
    both.way(leader).hold(UPLOADS)
    await both.insert(app, 'after', 25)
    await both.restart(fresh)
    await both.same()
    expect(await both.open(fresh).value('SELECT count(*) FROM t')).toBe(45)
    expect(both.log(fresh)).toMatch(/restored from the backup/)
    expect(both.log(fresh)).not.toMatch(/applying a snapshot from the primary/)
    both.way(leader).release()
    await both.shipped(leader)
  })

  test('a late upload of a deposed leader moves to diverged/ in the bucket, and that leader ships no more', async () => {
    await using both = await ShippedCluster.start(server)
    const { first: deposed, second: leader } = both
    await both.insert(await both.create(deposed), 'both', 20)
    await both.same()
    const { position: fork } = await both.shipped(deposed)
    both.way(deposed).hold(UPLOADS)
    both.cutStream(deposed)
    await both.insert(both.open(deposed), 'lost', 5)
    await both.waiting('an upload on its way', () => both.way(deposed).holdsWhole(LEVEL_0))
    signalProcess(deposed.node.pid, 'SIGSTOP')

    await both.leads(leader)
    expect((await both.status(leader))?.position).toBe(fork)
    // The upload arrives although its client has given up, before the new leader ships anything.
    both.way(deposed).release()
    await both.waiting('the lost upload in the bucket', async () => (await both.keys()).some(isBeyond(fork)))
    await both.insert(both.open(leader), 'kept', 7)
    await both.shipped(leader)
    const aside = (await both.keys()).filter((key) => key.includes('/diverged/'))
    expect(aside.length).toBeGreaterThan(0)
    expect(both.log(leader)).toMatch(/a deposed leader shipped transactions that no other node received/)

    both.mendStream(deposed)
    signalProcess(deposed.node.pid, 'SIGCONT')
    await both.same()
    expect(divergedReports(deposed, both.database)).toMatchObject([{ report: { transactions: 5 } }])
    await both.insert(both.open(leader), 'kept too', 4)
    await both.same()
    await both.shipped(leader)
    expect((await both.keys()).filter((key) => key.includes('/diverged/'))).toEqual(aside)
    const lost = "SELECT count(*) FROM t WHERE who = 'lost'"
    expect(await both.open(deposed).value(lost)).toBe(0)
    await everyMomentRestores(both, async (restored, txid) => {
      if (txid > txidOf(fork)) expect(await sqlite(restored, lost)).toBe('0\n')
    })
    expect(await ltxd(['backup', 'verify', both.bucket])).toMatchObject({ code: 0 })
  })

  test('an instance without data and without a leader leads, and continues after the last shipped transaction', async () => {
    await using both = await ShippedCluster.start(server)
    await both.insert(await both.create(both.first), 'before', 20)
    await both.same()
    const last = txidOf((await both.status(both.first))?.position ?? '')
    both.closeAll()
    for (const { node } of [both.second, both.first]) expect(await node.stop()).toEqual({ code: 0, signal: null })
    await both.restart(both.second)
    await both.leads(both.second)
    const app = both.open(both.second)
    expect(await app.value('SELECT count(*) FROM t')).toBe(20)
    await both.insert(app, 'alone', 1)
    expect((await both.status(both.second))?.position.split('/')[0]).toBe(formatTXID(toTXID(last + 1n)))
    await both.shipped(both.second)
    await everyMomentRestores(both)
    expect(await ltxd(['backup', 'verify', both.bucket])).toMatchObject({ code: 0 })
  })
})

/** The requests that upload an LTX file. */
const UPLOADS = /^PUT \S+\.ltx/
/** Of these, not a snapshot of what was shipped before. */
const LEVEL_0 = /^PUT \S+\/0000\/\S+\.ltx/

/** Restores by ltxd with verified checksums and, for the newest moment, by Litestream. `look` gets each database. */
async function everyMomentRestores(
  { bucket, cluster, database }: ShippedCluster,
  look: (restored: string, txid: TXID) => Promise<void> = async () => {},
): Promise<void> {
  const store = openObjectStore(bucket)
  const points = restorablePoints(await loadHistory(store, database))
  let newest = ''
  for (const txid of points) {
    newest = join(cluster.dir, `${formatTXID(txid)}.db`)
    expect(await restoreDatabase(store, database, { kind: 'txid', txid }, newest)).toMatchObject({ verified: true })
    await look(newest, txid)
  }
  await store.close()
  const theirs = `${newest}-litestream`
  const address = bucket.replace('?', `/${database}?`)
  // It does not start with it.
  const { AWS_CA_BUNDLE: _, ...env } = process.env
  await run(LITESTREAM!, ['restore', '-o', theirs, address], { env, timeout: 60_000 })
  expect(readFileSync(theirs).equals(readFileSync(newest))).toBe(true)
}

/** Whether an object has transactions that only a deposed leader committed. */
function isBeyond(position: string): (key: string) => boolean {
  const last = formatTXID(txidOf(position))
  return (key) => (/([0-9a-f]{16})\.ltx$/.exec(key)?.[1] ?? '') > last || key.includes('/diverged/')
}

async function sqlite(path: string, sql: string): Promise<string> {
  return (await run('sqlite3', [path, sql], { timeout: 60_000 })).stdout
}

function txidOf(position: string): TXID {
  return parseTXID(position.split('/')[0] ?? '')
}
