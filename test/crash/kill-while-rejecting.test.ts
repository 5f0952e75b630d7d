import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DRIVER } from '../harness/driver.ts'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { isRunning, processTree } from '../harness/processes.ts'
import { Random } from '../harness/random.ts'
import { until } from '../harness/wait.ts'

const KILLS = effort(3, 200, 'KILLS')

/**
 * Two threads read a database, and one writes to it without a journal. Each rejected write makes the kernel forget the
 * file's pages, and waits for a page that a reader is just fetching. They end when the mount does.
 */
const PROGRAM = `
import os, random, sqlite3, sys, threading
path = sys.argv[1]
k = sqlite3.connect(path); k.execute('PRAGMA journal_mode=WAL'); k.execute('CREATE TABLE IF NOT EXISTS t (b)')
if k.execute('SELECT count(*) FROM t').fetchone()[0] == 0:
    k.executemany('INSERT INTO t VALUES (randomblob(8000))', [()] * 2500); k.commit()
k.execute('PRAGMA wal_checkpoint(TRUNCATE)'); k.close()
fd = os.open(path, os.O_RDWR); size = os.fstat(fd).st_size
def read():
    try:
        while True: os.pread(fd, 65536, random.randrange(size // 65536) * 65536)
    except OSError: pass
def write():
    while True:
        try: os.pwrite(fd, b'x' * 512, 4096 * random.randrange(1, size // 4096))
        except OSError as e:
            if e.errno in (103, 107): return
threads = [threading.Thread(target=f) for f in (read, read, write)]
for t in threads: t.start()
print('running', flush=True)
for t in threads: t.join()
`

// Through libfuse the kernel is told nothing of rejected writes.
test.skipIf(DRIVER !== 'direct')(
  `kill -9 while writes are rejected leaves no process and no program that hangs (KILLS=${KILLS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + KILLS * 30_000 },
  async () => {
    const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-rejecting-'))
    const options = { mount: join(base, 'mount'), data: join(base, 'data'), logFile: join(base, 'log') }
    const random = new Random(SEED)
    let node: LtxdNode | undefined
    let program: ChildProcess | undefined
    onTestFinished(async () => {
      program?.kill('SIGKILL')
      await node?.destroy()
      rmSync(base, { recursive: true, force: true })
    })
    for (let kill = 0; kill < KILLS; kill++) {
      node = LtxdNode.start(options)
      await node.mounted()
      program = spawn('python3', ['-c', PROGRAM, join(options.mount, 'app.db')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const pids = [program.pid as number]
      await new Promise((resolve) => program?.stdout?.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, 100 + random.next() * 400))
      pids.push(...processTree(node.pid))
      await node.kill()
      await until(`end of the processes of kill ${kill}`, 30_000, () => pids.every((pid) => !isRunning(pid)))
    }
    node = LtxdNode.start(options)
    await node.mounted()
    expect(await node.stop()).toEqual({ code: 0, signal: null })
  },
)
