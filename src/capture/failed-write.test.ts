import { expect, test } from 'vitest'
import { failingFiles } from '../../test/harness/in-process/failing-files.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { FsError } from '../fuse/errno.ts'
import { scanWal } from '../sqlite/wal-scan.ts'
import { nodeFiles } from '../util/files.ts'

const MODES = ['wal', 'delete', 'truncate', 'persist'] as const

/** A disk that is full from the `budget`-th write to a file of that name on. */
function fullDisk(suffix: string, left: 'half' | 'all') {
  const disk = { budget: Infinity }
  const files = failingFiles(
    nodeFiles,
    (operation, path) => (operation === 'write' && path.endsWith(suffix) && disk.budget-- <= 0 ? 'ENOSPC' : undefined),
    left,
  )
  return { disk, files }
}

test.each([0, 1])(
  'a write to the WAL that fails leaves no commit in the file that was not captured, after %i transactions',
  (before) => {
    using twin = new Rig()
    twin.open('wal', 20).close()
    const { disk, files } = fullDisk('-wal', 'all')
    using rig = new Rig({ files }, twin.dir)
    const connection = twin.engine.open('a.db')
    const ends = [0]
    for (const text of ['first', 'second', 'third']) {
      connection.exec(`UPDATE t SET b = '${text} ' || b`)
      ends.push(twin.backing('a.db-wal').length)
    }
    const wal = twin.backing('a.db-wal')
    const choices = { create: true, exclusive: false, readOnly: false }
    const handles = ['a.db', 'a.db-wal'].map((name) => rig.node.mount.open(name, choices))
    const start = rig.txid()
    const write = (from: number, to: number) => handles[1]?.write(wal.subarray(ends[from], ends[to]), ends[from] ?? 0)
    const inFile = () => {
      const bytes = rig.backing('a.db-wal')
      return scanWal((at, n) => bytes.subarray(at, at + n), bytes.length)?.transactions.length ?? 0
    }
    if (before > 0) write(0, before)
    disk.budget = 0
    expect(() => write(before, 2)).toThrow(expect.objectContaining({ code: 'ENOSPC' }) as Error)
    disk.budget = Infinity
    expect(inFile()).toBe(before)
    expect(rig.txid()).toBe(start + before)
    write(before, 3)
    expect(inFile()).toBe(3)
    expect(rig.txid()).toBe(start + 3)
    for (const handle of handles) handle.close()
    rig.consistent()
  },
)

test.each(MODES)('after each write that a full disk fails, a database in %s mode is at a state of its log', (mode) => {
  const { disk, files } = fullDisk('', 'all')
  using rig = new Rig({ files })
  rig.open(mode, 60).close()
  let isDone = false
  for (let budget = 0; !isDone; budget++) {
    disk.budget = budget
    const connection = rig.engine.open('a.db')
    try {
      connection.exec('PRAGMA cache_size = 2')
      connection.exec(insert(1000 + budget * 100, 1040 + budget * 100))
      isDone = true
    } catch {
      // The disk is full.
    }
    disk.budget = Infinity
    try {
      connection.close()
    } catch {
      connection.kill()
    }
    rig.consistent()
  }
})

test.each(MODES)('after an fsync of the log that failed, a database in %s mode continues by itself', (mode) => {
  let fails = false
  const files = failingFiles(nodeFiles, (operation, path) =>
    fails && operation === 'sync' && path.includes('/log/') ? 'EIO' : undefined,
  )
  using rig = new Rig({ files })
  const connection = rig.open(mode, 20)
  fails = true
  expect(() => connection.exec(insert(21, 30))).toThrow()
  expect(() => connection.exec(insert(31, 40))).toThrow()
  fails = false
  // Not before the next attempt is due, which the disk needs no longer.
  const until = performance.now() + 10_000
  for (;;) {
    try {
      connection.exec(insert(41, 50))
      break
    } catch (error) {
      if (performance.now() > until) throw error
    }
  }
  rig.consistent()
  expect(connection.value('SELECT count(*) FROM t')).toBe(30)
})

/** Nothing can be logged, and the zeros that invalidate a commit do not reach the WAL; its `cuts` may. */
function zerolessDisk(cuts: 'cuts fail' | 'cuts work') {
  const disk = { fails: false }
  const files = failingFiles(nodeFiles, (operation, path) =>
    disk.fails && operation === 'write' && path.includes('/log/') ? 'ENOSPC' : undefined,
  )
  const zeroless = {
    ...files,
    write(...of: Parameters<typeof files.write>) {
      const [, from, at, length] = of
      if (disk.fails && from.subarray(at, at + length).every((byte) => byte === 0)) {
        throw new FsError('EIO', 'the disk fails')
      }
      files.write(...of)
    },
    truncate(...of: Parameters<typeof files.truncate>) {
      if (disk.fails && cuts === 'cuts fail') throw new FsError('EIO', 'the disk fails')
      files.truncate(...of)
    },
  }
  return { disk, files: zeroless }
}

test.each([1, 40])(
  'after %i commits, one that was rejected, and cannot be overwritten, is found by no recovery',
  (n) => {
    const { disk, files } = zerolessDisk('cuts work')
    using rig = new Rig({ files })
    const connection = rig.open('wal', 20)
    for (let i = 0; i < n; i++) connection.exec("UPDATE t SET b = 'again'")
    const before = rig.txid()
    disk.fails = true
    expect(() => connection.exec('DELETE FROM t WHERE a > 10')).toThrow()
    connection.kill()
    using again = new Rig({}, rig.dir)
    expect(again.txid()).toBe(before)
    expect(again.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(20)
    again.consistent()
  },
)

test.each(['reader', 'writer'])(
  'a commit that was rejected, and that a failing disk left valid in the WAL, is found by no %s after a crash before it is captured',
  (who) => {
    const { disk, files } = zerolessDisk('cuts fail')
    using rig = new Rig({ files })
    const connection = rig.open('wal', 20)
    const before = rig.txid()
    disk.fails = true
    expect(() => connection.exec('DELETE FROM t WHERE a > 10')).toThrow()
    disk.fails = false
    connection.kill()
    const next = rig.engine.open('a.db')
    if (who === 'writer') next.exec(insert(21, 22))
    const count = next.value('SELECT count(*) FROM t')
    expect(rig.txid() - before, `${String(count)} rows`).toBe(who === 'writer' ? 1 : 0)
    expect(count).toBe(who === 'writer' ? 22 : 20)
    next.close()
    rig.consistent()
  },
)
