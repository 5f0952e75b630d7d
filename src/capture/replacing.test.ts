import fs from 'node:fs'
import { expect, test } from 'vitest'
import { crashPointFiles, leaveCrashed } from '../../test/harness/in-process/crash-point-files.ts'
import type { FailingOperation } from '../../test/harness/in-process/failing-files.ts'
import { failingFiles } from '../../test/harness/in-process/failing-files.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { recoverAndCheck } from '../../test/harness/in-process/verdict.ts'
import type { VfsFile } from '../../test/harness/in-process/vfs-files.ts'
import { nodeFiles } from '../util/files.ts'

const { O_TRUNC, O_WRONLY, O_RDWR } = fs.constants
const OPEN = { create: false, exclusive: false, readOnly: false }
const truncating = (rig: Rig) => rig.node.mount.open('a.db', { ...OPEN, flags: O_WRONLY | O_TRUNC })

function write(file: VfsFile, bytes: Uint8Array, from = 0, to = bytes.length): void {
  for (let at = from; at < to; at += 3000) file.write(bytes.subarray(at, Math.min(to, at + 3000)), at)
}

/** As cp does. */
function copyOver(rig: Rig, bytes: Uint8Array): void {
  const file = truncating(rig)
  write(file, bytes)
  file.close()
}

/** Another database of that page size and journal mode. */
function another(pageSize: number, mode: string, rows = 120): Buffer {
  using rig = new Rig()
  const connection = rig.engine.open('a.db')
  connection.exec(
    `PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = ${mode}; CREATE TABLE t (a INTEGER PRIMARY KEY, b)`,
  )
  connection.exec(insert(1, rows, 'another'))
  connection.close()
  return rig.backing('a.db')
}

test.each([
  ['wal', 1024, 'wal'],
  ['wal', 4096, 'delete'],
  ['delete', 1024, 'delete'],
  ['persist', 512, 'wal'],
])('%s: a database copied over, with pages of %i bytes in mode %s, is one transaction', (mode, pageSize, newMode) => {
  using rig = new Rig()
  rig.open(mode, 300).close()
  const before = rig.txid()
  const bytes = another(pageSize, newMode)
  copyOver(rig, bytes)
  expect(rig.txid()).toBe(before + 1)
  expect(rig.backing('a.db').equals(bytes)).toBe(true)
  expect(rig.consistent().bytes().equals(bytes)).toBe(true)
  const connection = rig.engine.open('a.db')
  expect(connection.value("SELECT count(*) FROM t WHERE b LIKE 'another%'")).toBe(120)
  connection.exec(insert(1000, 1010))
  rig.consistent()
  expect(rig.node.complaints()).toEqual([])
  expect(fs.readdirSync(`${rig.dir}/replacing`)).toEqual([])
  using again = new Rig({}, rig.dir)
  expect(again.txid()).toBe(rig.txid())
})

test('a truncation to nothing through the only handle begins a replacement, too', () => {
  using rig = new Rig()
  rig.open('wal', 50).close()
  const bytes = another(1024, 'wal')
  const file = rig.node.mount.open('a.db', OPEN)
  file.truncate(0)
  write(file, bytes)
  expect(file.size()).toBe(bytes.length)
  file.close()
  expect(rig.consistent().bytes().equals(bytes)).toBe(true)
})

test.each([
  ['nothing', () => Buffer.alloc(0), 'nothing was written'],
  ['text', () => Buffer.from('not a database'.repeat(1000)), 'does not begin with a SQLite header'],
  ['half a database', (bytes: Buffer) => bytes.subarray(0, 5000), 'shorter than its header says'],
  ['another journal mode', (bytes: Buffer) => Buffer.from(bytes).fill(255, 18, 20), 'write version 255'],
])('a replacement by %s is discarded, with a line', (_what, cut, reason) => {
  using rig = new Rig()
  rig.open('delete', 80).close()
  const before = rig.backing('a.db')
  const position = rig.node.position('a.db')
  copyOver(rig, cut(another(1024, 'delete')))
  rig.node.passTime()
  expect(rig.node.position('a.db')).toEqual(position)
  expect(rig.backing('a.db').equals(before)).toBe(true)
  expect(rig.node.complaints()).toEqual([expect.stringContaining(reason)])
  expect(rig.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(80)
  rig.consistent()
})

test('a database that somebody has open, or whose last connection died, is not replaced', () => {
  for (const mode of ['wal', 'delete']) {
    using rig = new Rig()
    const connection = rig.open(mode, 50)
    const other = rig.node.mount.open('a.db', OPEN)
    expect(() => truncating(rig)).toThrow(/another connection has it open/)
    expect(() => other.truncate(0)).toThrow(/another connection has it open/)
    other.close()
    connection.exec(insert(51, 60))
    rig.consistent()
    if (mode === 'wal') {
      connection.kill()
      expect(() => truncating(rig)).toThrow(/it has a WAL/)
    }
  }
})

test('no reader sees a database that is being replaced', () => {
  using rig = new Rig()
  rig.open('delete', 50).close()
  const file = truncating(rig)
  expect(() => rig.node.mount.open('a.db', { ...OPEN, readOnly: true })).toThrow(/being replaced/)
  expect(() => rig.node.mount.open('a.db', { ...OPEN, flags: O_RDWR })).toThrow(/being replaced/)
  write(file, another(1024, 'delete'))
  file.close()
  expect(rig.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(120)
})

test('a program may write the parts in any order, each through a handle of its own', () => {
  using rig = new Rig()
  rig.open('delete', 50).close()
  const before = rig.txid()
  const bytes = another(1024, 'delete')
  const [second, last] = [4096, 9000]
  const file = truncating(rig)
  write(file, bytes, 0, second)
  file.close()
  for (const [from, to] of [
    [last, bytes.length],
    [second, last],
  ] as const) {
    expect(rig.txid()).toBe(before)
    const next = rig.node.mount.open('a.db', { ...OPEN, flags: O_WRONLY })
    write(next, bytes, from, to)
    next.close()
  }
  expect(rig.consistent().bytes().equals(bytes)).toBe(true)
  rig.node.passTime()
  expect(rig.txid()).toBe(before + 1)
  expect(rig.node.complaints()).toEqual([])
})

test('a copy with holes is complete a moment after its last writer closed it', () => {
  using rig = new Rig()
  rig.open('delete', 50).close()
  const before = rig.txid()
  const bytes = Buffer.from(another(1024, 'delete'))
  bytes.fill(0, bytes.length - 1024)
  const file = truncating(rig)
  write(file, bytes, 0, bytes.length - 1024)
  file.truncate(bytes.length)
  file.close()
  expect(rig.txid()).toBe(before)
  rig.node.passTime()
  expect(rig.txid()).toBe(before + 1)
  expect(rig.backing('a.db').equals(bytes)).toBe(true)
})

test.each(['write', 'sync', 'truncate'] as const)(
  'a disk that fails to %s leaves the old database or the new one',
  (kind) => {
    let fails: { operation: FailingOperation; path: RegExp } | undefined
    const files = failingFiles(nodeFiles, (operation, path) =>
      operation === fails?.operation && fails.path.test(path) ? 'ENOSPC' : undefined,
    )
    for (const path of [/\.ltxlog$/, /files\/a\.db$/]) {
      using rig = new Rig({ files })
      rig.open('delete', 300).close()
      const before = rig.backing('a.db')
      const bytes = another(1024, 'delete')
      fails = { operation: kind, path }
      try {
        copyOver(rig, bytes)
      } catch {
        // An error of a close reaches nobody.
      }
      fails = undefined
      using again = new Rig({}, rig.dir)
      const now = again.backing('a.db')
      expect(now.equals(before) || now.equals(bytes), `${kind} ${path.source}`).toBe(true)
      again.consistent()
    }
  },
)

test('a crash at any point of a replacement leaves the old database or the new one', () => {
  using rig = new Rig()
  rig.open('wal', 40).close()
  const bytes = another(512, 'wal', 60)
  const former = recoverAndCheck(rig.dir, 'a.db').digest
  const left: { dir: string; what: string }[] = []
  let enabled = false
  const files = crashPointFiles(nodeFiles, (point) => {
    if (!enabled) return
    const dir = `${again.dir}-left-${left.length}`
    leaveCrashed(again.dir, dir, point)
    left.push({ dir, what: point.what })
  })
  using again = new Rig({ files }, rig.dir)
  enabled = true
  copyOver(again, bytes)
  enabled = false
  const now = recoverAndCheck(again.dir, 'a.db').digest
  expect(now).not.toBe(former)
  try {
    const found = left.map(({ dir, what }) => {
      const { digest } = recoverAndCheck(dir, 'a.db')
      expect([former, now], `crash before or in "${what}"`).toContain(digest)
      return digest === now
    })
    expect(found.lastIndexOf(false)).toBeLessThan(found.indexOf(true))
    console.log(`${left.length} crash points, replaced from the ${found.indexOf(true)}th on`)
  } finally {
    for (const { dir } of left) fs.rmSync(dir, { recursive: true })
  }
})

test('a database that recovery did not read is verified, or replaced', () => {
  for (const isReplaced of [true, false]) {
    using rig = new Rig()
    rig.open('delete', 300).close()
    using again = new Rig({ wholeReadBytes: 0 }, rig.dir)
    copyOver(again, isReplaced ? another(1024, 'delete') : Buffer.alloc(0))
    expect(again.node.database('a.db').trust.proof === undefined).toBe(isReplaced)
    expect(again.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(isReplaced ? 120 : 300)
    again.consistent()
  }
})

test('a replacement written in more parts than can be kept is rejected, and the database has its former content', () => {
  using rig = new Rig()
  rig.open('delete', 50).close()
  const before = rig.backing('a.db')
  const file = truncating(rig)
  write(file, another(1024, 'delete'))
  const scattered = () => {
    for (let at = 2 ** 20; at < 2 ** 20 + 400_000; at += 2) file.write(new Uint8Array(1), at)
  }
  expect(scattered).toThrow(/more than 65,536 parts that do not touch/)
  expect(() => {
    file.write(new Uint8Array(2 ** 20), 0)
  }).toThrow(/more than 65,536 parts/)
  file.close()
  rig.node.passTime()
  expect(rig.backing('a.db').equals(before)).toBe(true)
  expect(rig.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(50)
  expect(rig.node.complaints()).toContainEqual(expect.stringContaining('It has its former content'))
  rig.consistent()
})
