import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { program } from '../cli/run.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

let base: string
let node: LtxdNode

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-replacing-'))
  node = LtxdNode.start({ mount: `${base}/m`, data: `${base}/data`, logFile: `${base}/log` })
  await node.mounted()
})

afterEach(async () => {
  await node.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

const sqlite = (file: string, sql: string) => program('sqlite3', [`${base}/${file}`, sql])
const sh = (script: string) => program('sh', ['-c', `cd ${base} && ${script}`])
const position = async (name: string) => Number.parseInt((await sh(`cut -c1-16 m/${name}-pos`)).stdout, 16)
const log = () => fs.readFileSync(`${base}/log`, 'utf8')

async function make(file: string, mode: string, text: string): Promise<void> {
  const rows = `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 900) INSERT INTO t SELECT i, '${text}' || hex(randomblob(60)) FROM c`
  expect(await sqlite(file, `PRAGMA journal_mode = ${mode}; CREATE TABLE t (a, b); ${rows}`)).toMatchObject({ code: 0 })
}

const count = async (file: string, text: string) =>
  (await sqlite(file, `SELECT count(*) FROM t WHERE b LIKE '${text}%'; PRAGMA integrity_check`)).stdout

const REPLACING = [
  ['cp', 'cp new.db m/a.db'],
  ['a shell', 'cat new.db > m/a.db'],
  ['fs.copyFile', `${process.execPath} -e "fs.copyFileSync('new.db', 'm/a.db')"`],
  ['fs.writeFile', `${process.execPath} -e "fs.writeFileSync('m/a.db', fs.readFileSync('new.db'))"`],
] as const

const REJECTED = [
  ['dd', 'dd if=new.db of=m/a.db conv=notrunc bs=64k'],
  ['r+b', `python3 -c "open('m/a.db','r+b').write(open('new.db','rb').read())"`],
  ['journal_mode MEMORY', `sqlite3 -bail m/a.db "PRAGMA journal_mode = memory; UPDATE t SET b = 'new'"`],
  ['truncate', 'truncate -s 8192 m/a.db'],
] as const

const DISCARDED = [
  ['nothing', ': > m/a.db'],
  ['an empty file', 'truncate -s 0 m/a.db'],
  ['text', 'echo text > m/a.db'],
  ['half of it', 'head -c 20000 new.db > m/a.db'],
] as const

test.each(['wal', 'delete'])(
  '%s: each way to replace a database in place is one transaction, or changes nothing',
  { timeout: 120_000 },
  async (mode) => {
    await make('new.db', mode === 'wal' ? 'delete' : 'wal', 'new')
    for (const [what, script] of REPLACING) {
      await sh('rm -f m/a.db')
      await make('m/a.db', mode, 'old')
      const before = await position('a.db')
      expect(await sh(script), what).toMatchObject({ code: 0 })
      expect(await count('m/a.db', 'new'), what).toBe('900\nok\n')
      expect(await position('a.db'), what).toBe(before + 1)
    }
    await sh('rm -f m/a.db')
    await make('m/a.db', mode, 'old')
    const before = await position('a.db')
    const bytes = (await sh('sha1sum m/a.db')).stdout
    for (const [what, script] of REJECTED) {
      expect((await sh(script)).code, what).not.toBe(0)
      expect((await sh('sha1sum m/a.db')).stdout, what).toBe(bytes)
    }
    for (const [what, script] of DISCARDED) {
      await sh(script)
      // While the node still waits for more, nobody can open it.
      await until(what, 10_000, async () => (await sh('sha1sum m/a.db')).stdout === bytes)
      expect(await count('m/a.db', 'old'), what).toBe('900\nok\n')
    }
    expect(log().match(/a replacement of the database was discarded/g)).toHaveLength(DISCARDED.length)
    expect(await position('a.db')).toBe(before)
    expect((await node.stop()).code).toBe(0)
    expect(await count('data/files/a.db', 'old')).toBe('900\nok\n')
  },
)

test('a new database under journal_mode MEMORY is imported while it is open; then its writes are rejected', async () => {
  const script = `
import sqlite3, sys
c = sqlite3.connect('m/a.db', isolation_level=None)
c.execute('PRAGMA journal_mode = memory'); c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (1)')
print('made', flush=True)
sys.stdin.readline()
try:
  c.execute('INSERT INTO t VALUES (2)'); print('accepted')
except sqlite3.OperationalError as error: print(error)
`
  fs.writeFileSync(`${base}/memory.py`, script)
  await sh('mkfifo go')
  const application = sh('python3 memory.py < go')
  const go = await fs.promises.open(`${base}/go`, 'w')
  await until('the import of a.db', 10_000, async () => (await position('a.db')) === 1)
  await go.write('\n')
  await go.close()
  expect((await application).stdout).toBe('made\ndisk I/O error\n')
  expect((await sqlite('m/a.db', 'SELECT count(*) FROM t')).stdout).toBe('1\n')
  expect(log()).toMatch(/a new database is written without a journal/)
})
