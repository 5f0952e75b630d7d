import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SqlClient } from '../cluster/sql-client.ts'
import { checkFiles, checkLogs } from '../crash/log-check.ts'
import { form, HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'

const PAGE_SIZE = 65_536
/** The lock page contains this byte. SQLite never writes that page, and no transaction has it. */
const LOCK_BYTE = 1 << 30
const ROW_BYTES = 64 << 20
/** VACUUM rewrites the gigabyte each time. The short form moves pages and truncates the file instead. */
const SHRINK = form('PRAGMA incremental_vacuum', 'VACUUM')
/** A deadline for a slow disk. */
const SHRINK_MS = 240_000

test(
  'a database grows beyond its lock page and shrinks again, in either mode and across a crash',
  { timeout: 2 * HANG_MS },
  async () => {
    const base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-lock-page-'))
    onTestFinished(() => fs.rmSync(base, { recursive: true, force: true }))
    const [mount, data] = [path.join(base, 'mount'), path.join(base, 'data')]
    const file = path.join(data, 'files/a.db')
    const options = { mount, data, logFile: path.join(base, 'log') }
    let node = LtxdNode.start(options)
    onTestFinished(() => node.destroy())
    await node.mounted()

    let application = new SqlClient(path.join(mount, 'a.db'), { answerMs: SHRINK_MS })
    await using _first = application
    await application.exec(
      `PRAGMA page_size = ${PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE t (id INTEGER PRIMARY KEY, filler BLOB)`,
    )
    const insert = (id: number) => application.exec(`INSERT INTO t VALUES (${id}, zeroblob(${ROW_BYTES}))`)
    // The sixteenth row spans the lock page, which journal and log omit.
    for (let id = 1; id <= 16; id++) await insert(id)
    expect(fs.statSync(file).size).toBeGreaterThan(LOCK_BYTE)
    await application.exec('UPDATE t SET filler = zeroblob(length(filler) - 1) WHERE id = 16')
    await application.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    await insert(17)
    await application.exec('UPDATE t SET filler = zeroblob(length(filler) - 2) WHERE id = 16')

    await node.kill()
    application.kill()
    expect(checkLogs(data)).toEqual([])
    node = LtxdNode.start(options)
    await node.mounted(120_000)
    application = new SqlClient(path.join(mount, 'a.db'), { answerMs: SHRINK_MS })
    await using _second = application
    expect(await application.value('PRAGMA integrity_check')).toBe('ok')
    expect(await application.value('SELECT total(length(filler)) FROM t')).toBe(17 * ROW_BYTES - 3)

    for (const mode of ['WAL', 'DELETE']) {
      await application.exec(`PRAGMA journal_mode = ${mode}; DELETE FROM t WHERE id > 15; ${SHRINK}`)
      await application.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      expect(fs.statSync(file).size, mode).toBeLessThan(LOCK_BYTE)
      if (mode === 'WAL') for (const id of [16, 17]) await insert(id)
    }
    expect(await application.value('PRAGMA integrity_check')).toBe('ok')
    await application.close()
    expect((await node.stop(120_000)).code).toBe(0)
    expect([...checkLogs(data), ...checkFiles(data)]).toEqual([])
  },
)
