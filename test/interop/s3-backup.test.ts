/**
 * Backups in a bucket, end to end: ltxd's read by Litestream 0.5.18, Litestream's by ltxd, and a node that has lost its
 * machine.
 */

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { loadHistory } from '../../src/backup/history/history.ts'
import { NEWEST, restorablePoints } from '../../src/backup/history/plan.ts'
import { verifyBackup } from '../../src/backup/history/verify.ts'
import { restoreDatabase } from '../../src/backup/restore/restore.ts'
import { type UploadState, uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { compactLevel, snapshotFromBackup } from '../../src/backup/upkeep/compaction.ts'
import { formatTXID, toTXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { ltxd, program } from '../cli/run.ts'
import { SEED } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'

const run = promisify(execFile)
const LITESTREAM = process.env.LITESTREAM_BIN ?? findTool('litestream')
const ZERO: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

const missing = [...(findS3Server('versitygw') ? [] : ['versitygw']), ...(LITESTREAM ? [] : ['litestream'])]
if (missing.length > 0 && process.env.CI === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

/** The URL of a database in a backup, in Litestream's form. */
const within = (url: string, database: string) => url.replace('?', `/${database}?`)

describe.skipIf(missing.length > 0)(`a backup in a bucket (LTXD_SEED=${SEED})`, () => {
  let root = ''
  let server: S3Server
  const before = { ...process.env }
  const nodes: LtxdNode[] = []

  beforeAll(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-bucket-')))
    server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
  })
  afterAll(async () => {
    for (const node of nodes) await node.destroy()
    await server?.stop()
    process.env = before
    await rm(root, { recursive: true, force: true })
  })

  async function litestream(...args: string[]): Promise<void> {
    const { AWS_CA_BUNDLE: _, ...env } = process.env
    await run(LITESTREAM!, args, { env, timeout: 60_000 })
  }

  it('is restored by litestream, the newest state and every earlier one', async () => {
    const url = await server.freshUrl()
    const store = openObjectStore(url)
    const played = new PlayedDatabase('app.db', seeded(SEED), 4096)
    played.nowMs = 0
    const random = seeded(SEED + 1)
    let state = ZERO
    let timestampMs = 0
    for (let round = 0; round < 7; round++) {
      // Litestream accepts only moments between the first and the last upload, and servers report those in seconds.
      if (round === 6) await until('the next second', 60_000, () => Date.now() > timestampMs + 1_100)
      played.nowMs = Math.max(Date.now(), played.nowMs + 1)
      if (round === 5) timestampMs = played.nowMs
      played.commit(1 + random(5))
      state = await uploadTransactions(store, 'app.db', played, state, played.position().txid, { term: 3n })
      if (round === 2 || round === 5) await compactLevel(store, 'app.db', 1)
      if (round === 3) await snapshotFromBackup(store, 'app.db')
    }
    expect(await verifyBackup(store)).toMatchObject([{ database: 'app.db', findings: [] }])
    const address = within(url, 'app.db')
    const newest = join(root, 'newest.db')
    await litestream('restore', '-o', newest, address)
    expect((await readFile(newest)).equals(played.image())).toBe(true)
    const points = restorablePoints(await loadHistory(store, 'app.db'))
    for (const txid of points) {
      const theirs = join(root, `theirs-${txid}.db`)
      const ours = join(root, `ours-${txid}.db`)
      await litestream('restore', '-txid', formatTXID(txid), '-o', theirs, address)
      await restoreDatabase(store, 'app.db', { kind: 'txid', txid }, ours)
      expect((await readFile(theirs)).equals(played.states.get(txid)!), `transaction ${txid}`).toBe(true)
      expect((await readFile(ours)).equals(played.states.get(txid)!), `transaction ${txid}`).toBe(true)
    }
    const [theirs, ours] = [join(root, 'theirs-at.db'), join(root, 'ours-at.db')]
    await litestream('restore', '-timestamp', new Date(timestampMs).toISOString(), '-o', theirs, address)
    await restoreDatabase(store, 'app.db', { kind: 'timestamp', timestampMs }, ours)
    expect((await readFile(theirs)).equals(await readFile(ours))).toBe(true)
    await store.close()
  })

  it('of litestream is restored by ltxd, by function and by command', async () => {
    const url = await server.freshUrl()
    const source = join(root, 'source.db')
    const database = new Database(source)
    database.pragma('journal_mode = wal')
    database.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)')
    const insert = database.prepare('INSERT INTO t (data) VALUES (randomblob(?))')
    for (let round = 0; round < 3; round++) {
      for (let row = 0; row < 50; row++) insert.run(500 + row * 40)
      if (round === 1) database.exec('DELETE FROM t WHERE id % 3 = 0')
      await litestream('replicate', '-once', source, within(url, 'app.db'))
    }
    database.close()
    const theirs = join(root, 'by-litestream.db')
    await litestream('restore', '-o', theirs, within(url, 'app.db'))
    const store = openObjectStore(url)
    const ours = join(root, 'by-ltxd.db')
    await restoreDatabase(store, 'app.db', NEWEST, ours)
    expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true)
    await store.close()

    const byCommand = join(root, 'by-command.db')
    const restored = await ltxd(['restore', url, 'app.db', '-o', byCommand, '--check', '--json'])
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(restored.stdout)).toMatchObject({ restored: true, verified: false, integrityCheck: 'ok' })
    expect((await readFile(byCommand)).equals(await readFile(theirs))).toBe(true)
    const listed = await ltxd(['backup', 'list', url, '--json'])
    expect(JSON.parse(listed.stdout)).toMatchObject({ databases: [{ database: 'app.db' }] })
  })

  async function start(name: string, backup: string) {
    const [mount, data] = [join(root, name, 'mnt'), join(root, name, 'data')]
    const node = LtxdNode.start({ mount, data, backup, logFile: join(root, `${name}.log`) })
    nodes.push(node)
    await node.mounted()
    await until('the API', 60_000, async () => (await status(data)) !== undefined)
    return { node, mount, data }
  }

  it.each(['bucket', 'directory'])('in a %s is continued by litestream, and by ltxd after it', async (place) => {
    const backup = place === 'bucket' ? await server.freshUrl(place) : `file://${join(root, place)}`
    const address = place === 'bucket' ? within(backup, 'app.db') : `${backup}/app.db`
    const restored = async (name: string) => {
      const out = join(root, `${place}-${name}.db`)
      expect(await ltxd(['restore', backup, 'app.db', '-o', out, '--check'])).toMatchObject({ code: 0 })
      return sql(out, 'SELECT count(*) FROM t')
    }
    const ours = await start(`${place}-ours`, backup)
    const app = join(ours.mount, 'app.db')
    await sql(app, 'PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)')
    for (let i = 1; i <= 5; i++) await sql(app, `INSERT INTO t (v) VALUES ('row ${i}')`)
    expect(await ours.node.stop()).toEqual({ code: 0, signal: null })

    const source = join(root, `${place}-source.db`)
    await litestream('restore', '-o', source, address)
    for (let i = 6; i <= 8; i++) {
      await sql(source, `PRAGMA journal_mode = wal; INSERT INTO t (v) VALUES ('row ${i}')`)
      await litestream('replicate', '-once', source, address)
    }
    expect(await restored('theirs')).toBe('8\n')

    const again = await start(`${place}-again`, backup)
    await sql(join(again.mount, 'app.db'), "INSERT INTO t (v) VALUES ('row 9')")
    expect(await again.node.stop()).toEqual({ code: 0, signal: null })
    expect(await restored('ours again')).toBe('9\n')
    const out = join(root, `${place}-last.db`)
    await litestream('restore', '-o', out, address)
    expect(await sql(out, 'SELECT count(*) FROM t; PRAGMA integrity_check')).toBe('9\nok\n')
  })

  it('restores a node that has lost its machine, with every transaction, and the node continues it', async () => {
    const backup = await server.freshUrl('node')
    const first = await start('first', backup)
    const app = join(first.mount, 'app.db')
    await sql(app, 'PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)')
    for (let i = 1; i <= 20; i++) await sql(app, `INSERT INTO t (v) VALUES ('row ${i}')`)
    const reached = await until('the backup', 60_000, async () => {
      const database = await status(first.data)
      return database !== undefined && database.txid === database.uploaded && database.txid
    })
    await first.node.killTree()
    await first.node.destroy()

    const second = await start('second', backup)
    const again = join(second.mount, 'app.db')
    expect(await sql(again, 'SELECT count(*), max(v) FROM t; PRAGMA integrity_check')).toBe('20|row 9\nok\n')
    expect((await status(second.data))?.txid).toBe(reached)
    await sql(again, "INSERT INTO t (v) VALUES ('after')")
    expect((await status(second.data))?.txid).toBe(formatTXID(toTXID(BigInt(`0x${reached}`) + 1n)))
    expect(await second.node.stop()).toEqual({ code: 0, signal: null })

    const out = join(root, 'after.db')
    await litestream('restore', '-o', out, within(backup, 'app.db'))
    expect(await sql(out, 'SELECT count(*) FROM t; PRAGMA integrity_check')).toBe('21\nok\n')
    const restored = await ltxd(['restore', backup, 'app.db', '-o', join(root, 'after2.db'), '--json'])
    expect(JSON.parse(restored.stdout)).toMatchObject({ verified: true })
    expect(await ltxd(['backup', 'verify', backup])).toMatchObject({ code: 0 })
  })

  async function sql(path: string, statement: string): Promise<string> {
    const { code, stdout, stderr } = await program('sqlite3', [path, statement])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return stdout
  }
})

/** The status of the first database of the node on this data directory. */
async function status(data: string): Promise<{ txid: string; uploaded: string | undefined } | undefined> {
  const { code, stdout } = await ltxd(['status', '--data', data, '--json'])
  if (code !== 0) return undefined
  interface Shown {
    readonly databases: readonly { readonly position: string; readonly backup?: { readonly txid: string } }[]
  }
  const { databases } = JSON.parse(stdout) as Shown
  const [database] = databases
  return { txid: database?.position.split('/')[0] ?? '', uploaded: database?.backup?.txid }
}
