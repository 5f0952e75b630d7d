import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ltxd } from '../cli/run.ts'
import { Application } from '../harness/application.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

let base: string
let mount: string
let node: LtxdNode
let application: Application | undefined

const start = async (): Promise<void> => {
  node = LtxdNode.start({ mount, data: `${base}/data`, logFile: `${base}/log`, backup: `file://${base}/backup` })
  await node.mounted()
}

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-renames-'))
  mount = `${base}/mount`
  await start()
})

afterEach(async () => {
  application?.kill()
  application = undefined
  await node.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

const app = () => (application ??= new Application())
const COUNT = 'SELECT count(*), min(x) FROM t'

async function make(name: string, mode: string, rows: number, text: string, folder = mount): Promise<void> {
  await app().open(name, `${folder}/${name}`)
  await app().sql(name, `PRAGMA journal_mode=${mode}`)
  await app().sql(name, 'CREATE TABLE t(x)')
  for (let i = 0; i < rows; i++) await app().sql(name, `INSERT INTO t VALUES ('${text}')`)
}

/** The database's rows in the backup, once they are these. */
async function backedUp(name: string, expected: readonly unknown[]): Promise<void> {
  let found: unknown
  await until(`${name} in the backup to be ${JSON.stringify(expected)}`, 30_000, async () => {
    const file = `${base}/restored-${Date.now()}`
    await ltxd(['restore', `file://${base}/backup`, name, '-o', file])
    if (!fs.existsSync(file)) return false
    const reader = new Application()
    await reader.open('r', file)
    found = await reader.sql('r', COUNT).catch((error: unknown) => String(error))
    reader.kill()
    return JSON.stringify(found) === JSON.stringify([expected])
  }).catch((error: unknown) => {
    throw new Error(`it is ${JSON.stringify(found)}`, { cause: error })
  })
}

describe.each(['wal', 'delete'])('while an application has a database open (%s)', (mode) => {
  test('another is renamed over it, as rsync and mv do', async () => {
    await make('a.db', mode, 3, 'old')
    await make('new.db', mode, 5, 'new')
    await app().close('new.db')
    await app().rename(`${mount}/new.db`, `${mount}/a.db`)
    expect(await app().sql('a.db', COUNT)).toEqual([[3, 'old']])
    const written = await app().tried('a.db', "INSERT INTO t VALUES ('nameless')")
    if (mode === 'delete') expect(written).toMatch(/readonly/)
    await app().open('next', `${mount}/a.db`)
    expect(await app().sql('next', COUNT)).toEqual([[5, 'new']])
    await app().sql('next', "INSERT INTO t VALUES ('new')")
    await app().tried('a.db', "INSERT INTO t VALUES ('nameless')")
    await app().sql('next', "INSERT INTO t VALUES ('new')")
    await app().close('a.db')
    await app().sql('next', "INSERT INTO t VALUES ('new')")
    expect(await app().sql('next', 'PRAGMA integrity_check')).toEqual([['ok']])
    await backedUp('a.db', [8, 'new'])
  })
})

/** How many of the files of a database are renamed away, and whether another was renamed in, when the node dies. */
test.each([
  ['wal', 1, false],
  ['wal', 4, false],
  ['wal', 4, true],
  ['delete', 4, true],
])(
  'an open database in mode %s is swapped for another; after a crash (%i files away, in: %s) all is there',
  async (mode, away, isSwapped) => {
    const backing = `${base}/data/files`
    await make('b.db', mode, 5, 'new', base)
    await app().close('b.db')
    await app().mkdir(`${mount}/old`)
    await make('a.db', mode, 3, 'old')
    for (const suffix of ['', '-journal', '-shm', '-wal'].slice(0, away))
      if (fs.existsSync(`${backing}/a.db${suffix}`))
        await app().rename(`${mount}/a.db${suffix}`, `${mount}/old/a.db${suffix}`)
    await app().copy(`${base}/b.db`, `${mount}/in.db`)
    if (isSwapped) {
      await app().rename(`${mount}/in.db`, `${mount}/a.db`)
      await app().open('next', `${mount}/a.db`)
      await app().sql('next', "INSERT INTO t VALUES ('new')")
      expect(await app().sql('a.db', COUNT)).toEqual([[3, 'old']])
      expect(await app().tried('a.db', "INSERT INTO t VALUES ('lost')")).toMatch(/readonly|disk I\/O error/)
    }
    app().kill()
    application = undefined
    await node.destroy()
    await start()
    await app().open('old', `${mount}/old/a.db`)
    // The rest of its transactions is in the WAL that was not renamed yet.
    if (away > 1) expect(await app().sql('old', COUNT)).toEqual([[3, 'old']])
    await app().open('new', `${mount}/${isSwapped ? 'a.db' : 'in.db'}`)
    expect(await app().sql('new', COUNT)).toEqual([[isSwapped ? 6 : 5, 'new']])
    expect((await ltxd(['status', '--data', `${base}/data`, '--json'])).stdout).not.toContain('"error"')
    if (isSwapped) await backedUp('a.db', [6, 'new'])
  },
)

test('a hard link is rejected, and the log says why and what to do', async () => {
  await make('a.db', 'wal', 1, 'old')
  expect(await app().link(`${mount}/a.db`, `${mount}/b.db`)).toMatch(/Operation not permitted/)
  await until('the line', 10_000, () => /hard link.*symbolic link/.test(node.logTail()))
})
