import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ltxd } from '../cli/run.ts'
import { python } from '../conformance/served.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'

let base: string
let mount: string
let node: LtxdNode

const start = async (): Promise<void> => {
  node = LtxdNode.start({ mount, data: `${base}/data`, logFile: `${base}/log`, backup: `file://${base}/backup` })
  await node.mounted()
}

beforeAll(async () => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-names-'))
  mount = `${base}/mount`
  await start()
})

afterAll(async () => {
  await node.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

/** Prints what SQLite says to a first transaction in each journal mode, by name. */
const BEGIN_DATABASES = String.raw`
import os, sqlite3, sys
os.chdir(sys.argv[1])
os.makedirs(b'folder-\xff', exist_ok=True)
for name in (b'latin1-\xe9.db', b'folder-\xff/a.db'):
    for mode in ('delete', 'truncate', 'persist', 'wal', 'memory', 'off'):
        try:
            connection = sqlite3.connect(name, isolation_level=None)
            connection.execute('pragma journal_mode=' + mode)
            connection.execute('create table t(x)')
            print('acknowledged', mode)
        except sqlite3.OperationalError: print('rejected')
        connection.close()
        for suffix in (b'', b'-journal', b'-wal', b'-shm'):
            if os.path.exists(name + suffix): os.unlink(name + suffix)`

test('a database whose name is not UTF-8 is rejected in every journal mode, with a line that shows its name', async () => {
  expect(new Set((await python(BEGIN_DATABASES, mount)).trim().split('\n'))).toEqual(new Set(['rejected']))
  const log = fs.readFileSync(`${base}/log`, 'utf8')
  expect(log).toMatch(/a database was rejected: it is not valid Unicode.*file="latin1-\\udce9\.db"/)
  expect(log).toMatch(/a database was rejected: it is not valid Unicode.*file="folder-\\udcff\/a\.db"/)
})

/** Written while a node serves, and behind its back: a WAL database two folders deep, and another. */
const WRITE = String.raw`
import os, sqlite3, sys
os.chdir(sys.argv[1])
for name in (b'notes-\xe9', b'notes-\xe8', 'notes-\ufffd'.encode()): open(name, 'wb').write(name)
sqlite3.connect('good.db').executescript('create table t(x); insert into t values (1)')`
const WRITE_BEHIND = String.raw`
import os, sqlite3, sys
os.chdir(os.path.join(sys.argv[1], 'files'))
sqlite3.connect(b'behind-\xff.db').executescript('pragma journal_mode=wal; create table t(x)')
os.makedirs(b'deep-\xff/\xfe'); os.replace(b'behind-\xff.db', b'deep-\xff/\xfe/behind.db')
sqlite3.connect(b'behind-\xff.db').executescript('create table t(x); insert into t values (1)')`
const READ = String.raw`
import os, sqlite3, sys
os.chdir(sys.argv[1])
print([name for name in sorted(os.listdir(b'.')) if name.startswith(b'notes-') and open(name, 'rb').read() == name])
print(sqlite3.connect('file:behind-%ff.db?mode=ro', uri=True).execute('select x from t').fetchall())
print(os.listdir(b'deep-\xff/\xfe'))
os.rename(b'deep-\xff', b'deep'); os.rename(b'deep/\xfe', b'deep/e')`

test('files with such names stay through a restart; a database among them is one once it gets another name', async () => {
  await python(WRITE, mount)
  await node.stop()
  await python(WRITE_BEHIND, `${base}/data`)
  await start()
  expect((await python(READ, mount)).split('\n')).toEqual([
    String.raw`[b'notes-\xe8', b'notes-\xe9', b'notes-\xef\xbf\xbd']`,
    '[(1,)]',
    "[b'behind.db']",
  ])
  const { stdout } = await ltxd(['status', '--data', `${base}/data`])
  expect(stdout).toContain('deep/e/behind.db')
  expect(stdout).toContain('good.db')
  expect(stdout).not.toContain('behind-')
})
