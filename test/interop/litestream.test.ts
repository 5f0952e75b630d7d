/** Backups of ltxd and of Litestream, each read by the other. Needs litestream 0.5.16 or later, and SQLite. */

import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
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
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { SEED } from '../harness/effort.ts'

const run = promisify(execFile)
const LITESTREAM = process.env.LITESTREAM_BIN ?? findTool('litestream')
const ZERO: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

if (LITESTREAM === undefined && process.env.CI === 'true')
  throw new Error('the reference tool litestream 0.5.18 is not installed')

const suite = LITESTREAM === undefined ? describe.skip : describe
const title = LITESTREAM === undefined ? 'needs litestream on PATH or LITESTREAM_BIN' : `LTXD_SEED=${SEED}`

async function litestream(...args: string[]): Promise<string> {
  const { AWS_CA_BUNDLE: _, ...env } = process.env
  const { stdout, stderr } = await run(LITESTREAM ?? 'litestream', args, { env, timeout: 60_000 })
  return stdout + stderr
}

suite(`Litestream and ltxd (${title})`, () => {
  let root = ''
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'ltxd-litestream-'))
  })
  afterAll(() => rm(root, { recursive: true, force: true }))

  it('litestream restores a backup of ltxd, the newest state and the state at every file boundary', async () => {
    const store = new DirectoryStore(join(root, 'ours'))
    const played = new PlayedDatabase('app.db', seeded(SEED), 4096)
    const random = seeded(SEED + 1)
    let state = ZERO
    for (let round = 0; round < 9; round++) {
      played.nowMs += 1000
      played.commit(1 + random(6))
      state = await uploadTransactions(store, 'app.db', played, state, played.position().txid)
      if (round === 3 || round === 6) await compactLevel(store, 'app.db', 1)
      if (round === 6) await compactLevel(store, 'app.db', 2)
      if (round === 4) await snapshotFromBackup(store, 'app.db')
    }
    await expectAccepted(join(root, 'ours'))
    const url = `file://${join(root, 'ours', 'app.db')}`
    const newest = join(root, 'newest.db')
    await litestream('restore', '-o', newest, url)
    expect((await readFile(newest)).equals(played.image())).toBe(true)
    const points = restorablePoints(await loadHistory(store, 'app.db'))
    expect(points.length).toBeGreaterThan(8)
    for (const txid of points) {
      const out = join(root, `at-${txid}.db`)
      await litestream('restore', '-txid', formatTXID(txid), '-o', out, url)
      expect((await readFile(out)).equals(played.states.get(txid)!), `transaction ${txid}`).toBe(true)
    }
    const moment = played.times.get(played.position().txid)!
    const before = join(root, 'before.db')
    await litestream('restore', '-timestamp', new Date(moment).toISOString(), '-o', before, url)
    const ours = await restoreDatabase(
      store,
      'app.db',
      { kind: 'timestamp', timestampMs: moment },
      join(root, 'before2.db'),
    )
    expect((await readFile(before)).equals(await readFile(join(root, 'before2.db')))).toBe(true)
    expect(ours.txid).toBeLessThan(played.position().txid)
  })

  it('litestream restores the newest database after a drop, a second creation and a rebuild', async () => {
    const store = new DirectoryStore(join(root, 'lives'))
    const played = new PlayedDatabase('app.db', seeded(SEED + 2))
    played.commit(5)
    played.drop()
    played.commit(4)
    played.changePageSize(2048)
    played.commit(3)
    await uploadTransactions(store, 'app.db', played, ZERO, played.position().txid)
    await compactLevel(store, 'app.db', 1)
    await compactLevel(store, 'app.db', 2)
    const out = join(root, 'lives.db')
    await litestream('restore', '-o', out, `file://${join(root, 'lives', 'app.db')}`)
    expect((await readFile(out)).equals(played.image())).toBe(true)
    const earlier = join(root, 'first-life.db')
    await litestream(
      'restore',
      '-txid',
      formatTXID(toTXID(5)),
      '-o',
      earlier,
      `file://${join(root, 'lives', 'app.db')}`,
    )
    expect((await readFile(earlier)).equals(played.states.get(toTXID(5))!)).toBe(true)
  })

  it('ltxd restores a backup of litestream, and continues it so that litestream can still read it', async () => {
    const source = join(root, 'source.db')
    const target = join(root, 'theirs', 'app.db')
    await mkdir(join(root, 'theirs'))
    const database = new Database(source)
    database.pragma('journal_mode = wal')
    database.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)')
    const insert = database.prepare('INSERT INTO t (data) VALUES (randomblob(?))')
    const replicate = () => litestream('replicate', '-once', source, `file://${target}`)
    for (let i = 0; i < 4; i++) {
      for (let row = 0; row < 40; row++) insert.run(700 + row * 37)
      if (i === 2) database.exec('DELETE FROM t WHERE id % 3 = 0')
      await replicate()
    }
    const store = new DirectoryStore(join(root, 'theirs'))
    const out = join(root, 'from-theirs.db')
    const result = await restoreDatabase(store, 'app.db', NEWEST, out)
    const theirs = join(root, 'from-theirs-by-them.db')
    await litestream('restore', '-o', theirs, `file://${target}`)
    expect((await readFile(out)).equals(await readFile(theirs))).toBe(true)
    expect(rowsOf(out)).toEqual(rowsOf(source))
    expect(result.verified).toBe(false)
    const [report] = await verifyBackup(store)
    expect(report?.findings.filter(({ severity }) => severity === 'error')).toEqual([])
    database.close()

    // ltxd compacts and snapshots Litestream's files.
    await compactLevel(store, 'app.db', 1)
    await snapshotFromBackup(store, 'app.db')
    const again = join(root, 'again.db')
    await litestream('restore', '-o', again, `file://${target}`)
    expect(rowsOf(again)).toEqual(rowsOf(source))
  })

  it('ltxd reads a directory while litestream writes to it', async () => {
    const source = join(root, 'busy.db')
    const target = join(root, 'busy-backup', 'app.db')
    const config = join(root, 'litestream.yml')
    await writeFile(
      config,
      `dbs:\n  - path: ${source}\n    replica:\n      path: ${target}\n      sync-interval: 50ms\n`,
    )
    const database = new Database(source)
    database.pragma('journal_mode = wal')
    database.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)')
    const insert = database.prepare('INSERT INTO t (data) VALUES (randomblob(500))')
    const { AWS_CA_BUNDLE: _, ...env } = process.env
    const child = spawn(LITESTREAM ?? 'litestream', ['replicate', '-config', config], { env, stdio: 'ignore' })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      const store = new DirectoryStore(join(root, 'busy-backup'))
      const deadline = Date.now() + 60_000
      let reached = 0
      for (let i = 0; reached < 5; i++) {
        if (Date.now() > deadline) throw new Error(`litestream has shipped ${reached} states in a minute`)
        insert.run()
        const written = await readdir(join(target, 'ltx'), { recursive: true }).catch(() => [])
        if (!written.some((name) => name.endsWith('.ltx'))) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          continue
        }
        const out = join(root, `busy-${i}.db`)
        await restoreDatabase(store, 'app.db', NEWEST, out)
        expect(rowsOf(out).length).toBeGreaterThanOrEqual(reached)
        reached++
      }
    } finally {
      child.kill('SIGTERM')
      await ended
      database.close()
    }
  })
})

function rowsOf(path: string): unknown[] {
  const database = new Database(path)
  try {
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
    return database.prepare('SELECT id, hex(data) AS data FROM t ORDER BY id').all()
  } finally {
    database.close()
  }
}

/** Verifies every LTX file below a directory with the reference tool, if it is installed. */
async function expectAccepted(dir: string): Promise<void> {
  const ltx = process.env.LTX_BIN ?? findTool('ltx')
  if (ltx === undefined) return
  const names = await readdir(dir, { recursive: true })
  const files = names.filter((name) => name.endsWith('.ltx')).map((name) => join(dir, name))
  expect(files.length).toBeGreaterThan(8)
  await run(ltx, ['verify', ...files], { timeout: 60_000 })
}
