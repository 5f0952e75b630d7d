/** A database whose application was killed is copied onto the mount with its journal or its WAL, over another one. */

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { program } from '../cli/run.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'

let base: string
let node: LtxdNode

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-copied-'))
  fs.mkdirSync(`${base}/src`)
  node = LtxdNode.start({ mount: `${base}/m`, data: `${base}/data`, logFile: `${base}/log` })
  await node.mounted()
})

afterEach(async () => {
  await node.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

const python = (script: string) => program('python3', ['-c', script, base])
const sh = (script: string) => program('sh', ['-c', `cd ${base} && ${script}`])

/** `src/app.db`, with 400 committed rows, and what a killed application left beside it. */
const LEFT = {
  /** The file ends before its header says, because the disk took no more. */
  journal: `
import os, resource, sqlite3, sys
p = sys.argv[1] + '/src/app.db'
c = sqlite3.connect(p)
c.execute('create table t (id integer primary key, v, p)')
c.executemany('insert into t (v, p) values (?, ?)', [(1, 'x' * 300)] * 400)
c.commit()
c.close()
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    c = sqlite3.connect(p, isolation_level=None)
    c.execute('pragma cache_size = 100000')
    c.execute('begin immediate')
    c.execute('update t set v = 1000 where id < 20')
    c.execute('insert into t (v, p) select 1000, p from t')
    n = os.path.getsize(p) + 8192
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))
    c.execute('commit')
os.wait()
`,
  wal: `
import os, sqlite3, sys
p = sys.argv[1] + '/src/app.db'
if os.fork() == 0:
    c = sqlite3.connect(p, isolation_level=None)
    c.execute('pragma journal_mode = wal')
    c.execute('create table t (id integer primary key, v, p)')
    c.execute('pragma wal_checkpoint')
    for i in range(400): c.execute('insert into t (v, p) values (1, ?)', ('x' * 300,))
    os.kill(os.getpid(), 9)
os.wait()
os.unlink(p + '-shm')
`,
} as const

const OLDER = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1] + '/m/app.db')
c.execute('create table t (id integer primary key, v, p)')
c.executemany('insert into t (v, p) values (?, ?)', [(50, 'y' * 200)] * 900)
c.commit()
`

const READ = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1] + '/m/app.db')
print(c.execute('select count(*), sum(v) from t').fetchone(), c.execute('pragma integrity_check').fetchone())
`

const ORDERS = ['cp src/app.db m && cp src/app.db-SIDE m', 'cp src/app.db-SIDE m && cp src/app.db m'] as const

test.each(['journal', 'wal'] as const)(
  'what was committed is the database, with a %s that was copied before or after it',
  { timeout: 180_000 },
  async (side) => {
    expect(await python(LEFT[side])).toMatchObject({ code: 0 })
    for (const order of ORDERS) {
      await sh('rm -f m/app.db m/app.db-*')
      expect(await python(OLDER), order).toMatchObject({ code: 0 })
      expect(await sh(order.replace('SIDE', side)), order).toMatchObject({ code: 0 })
      expect(await python(READ), order).toMatchObject({ stdout: "(400, 400) ('ok',)\n" })
    }
  },
)
