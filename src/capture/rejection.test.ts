import { expect, test } from 'vitest'
import type { FailingOperation } from '../../test/harness/in-process/failing-files.ts'
import { failingFiles } from '../../test/harness/in-process/failing-files.ts'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'
import { nodeFiles } from '../util/files.ts'

const CHOICES = { create: false, exclusive: false, readOnly: false }

/** A rig whose log fails to write, or to sync, while `log.fails` is set. */
function rigWithFullLog(): { rig: Rig; log: { fails?: FailingOperation } } {
  const log: { fails?: FailingOperation } = {}
  const files = failingFiles(nodeFiles, (operation, path) =>
    operation === log.fails && path.endsWith('.ltxlog') ? 'ENOSPC' : undefined,
  )
  return { rig: new Rig({ files }), log }
}

test.each(['wal', 'delete', 'truncate', 'persist'])(
  'I1: %s: a commit that cannot be appended to the log is rejected and changes nothing',
  (mode) => {
    const { rig, log } = rigWithFullLog()
    using _ = rig
    const connection = rig.open(mode)
    const before = rig.node.position('a.db')
    log.fails = 'write'
    expect(() => connection.exec(insert(11, 30))).toThrow()
    expect(() => connection.exec('DELETE FROM t')).toThrow()
    expect(rig.node.position('a.db')).toEqual(before)
    delete log.fails
    expect(connection.value('SELECT count(*) FROM t')).toBe(10)
    rig.consistent()
    connection.exec(insert(11, 20))
    expect(connection.value('SELECT count(*) FROM t')).toBe(20)
    rig.consistent()
  },
)

test('I1: a commit rejected at the last piece of a write stays rejected when SQLite retries that piece', () => {
  const { rig, log } = rigWithFullLog()
  using _ = rig
  rig.node.mount.cut = (length) => (length > 300 ? [300, length - 300] : [length])
  const connection = rig.open('wal')
  const before = rig.node.position('a.db')
  log.fails = 'write'
  for (let i = 0; i < 3; i++) expect(() => connection.exec(insert(11, 30))).toThrow()
  expect(rig.node.position('a.db')).toEqual(before)
  expect(connection.value('SELECT count(*) FROM t')).toBe(10)
  delete log.fails
  rig.consistent()
  connection.exec(insert(11, 20))
  expect(connection.value('SELECT count(*) FROM t')).toBe(20)
  rig.consistent()
})

test.each(['wal', 'delete', 'truncate', 'persist'])(
  '%s: a commit that cannot be made durable is not acknowledged',
  (mode) => {
    const { rig, log } = rigWithFullLog()
    using _ = rig
    const connection = rig.open(mode)
    connection.exec('PRAGMA synchronous = FULL')
    log.fails = 'sync'
    expect(() => connection.exec(insert(11, 30))).toThrow()
    delete log.fails
    // What is not durable is written anew before anything else.
    connection.exec("UPDATE t SET b = 'after' WHERE a = 1")
    rig.consistent()
    connection.kill()
    using again = new Rig({}, rig.dir)
    again.engine.open('a.db').exec("UPDATE t SET b = 'after' WHERE a = 1")
    again.consistent()
  },
)

test('I1: neither SQLite nor recovery finds a rejected commit later', () => {
  const { rig, log } = rigWithFullLog()
  using _ = rig
  const connection = rig.open('wal')
  log.fails = 'write'
  expect(() => connection.exec(insert(11, 30))).toThrow()
  connection.kill()
  delete log.fails
  using again = new Rig({}, rig.dir)
  expect(again.txid()).toBe(rig.txid())
  expect(rig.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(10)
  expect(again.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(10)
  rig.consistent()
  again.consistent()
})

test('I11: a write that needs a correction fails while the correction cannot be appended to the log', () => {
  const { rig, log } = rigWithFullLog()
  using _ = rig
  const connection = rig.open('wal', 30)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec("UPDATE t SET b = 'in the WAL only'")
  const before = rig.txid()
  connection.kill()
  const wal = rig.node.mount.open('a.db-wal', CHOICES)
  log.fails = 'write'
  expect(() => wal.truncate(0)).toThrow(/ENOSPC|fails/)
  expect(rig.txid()).toBe(before)
  expect(rig.backing('a.db-wal').length).toBeGreaterThan(0)
  delete log.fails
  wal.truncate(0)
  wal.close()
  expect(rig.txid()).toBe(before + 1)
  rig.consistent()
})

test('a write over abandoned frames fails while their undoing cannot be appended to the log', () => {
  const { rig, log } = rigWithFullLog()
  using _ = rig
  const connection = rig.open('wal')
  rig.failAfterCapture()
  expect(() => connection.exec(insert(11, 40, 'lost'))).toThrow()
  const captured = rig.txid()
  log.fails = 'write'
  expect(() => connection.exec(insert(11, 12, 'kept'))).toThrow()
  expect(rig.txid()).toBe(captured)
  delete log.fails
  connection.exec(insert(11, 12, 'kept'))
  expect(rig.txid()).toBe(captured + 2)
  rig.consistent()
})

test.each(['OFF', 'MEMORY'])('a write without a journal (journal_mode %s) is rejected and changes nothing', (mode) => {
  using rig = new Rig()
  const connection = rig.open('delete')
  const before = rig.backing('a.db')
  const position = rig.node.position('a.db')
  connection.exec(`PRAGMA journal_mode = ${mode}`)
  expect(() => connection.exec('DELETE FROM t')).toThrow()
  expect(rig.backing('a.db').equals(before)).toBe(true)
  expect(rig.node.position('a.db')).toEqual(position)
  expect(rig.node.lines).toContainEqual(
    expect.objectContaining({
      level: 'error',
      fields: expect.objectContaining({ database: 'a.db', errno: 'EPERM' }) as unknown,
    }),
  )
  connection.kill()
  const next = rig.engine.open('a.db')
  next.exec('PRAGMA journal_mode = DELETE; DELETE FROM t WHERE a = 1')
  expect(next.value('SELECT count(*) FROM t')).toBe(9)
  rig.consistent()
})

test('without a journal a database can be extended, never truncated', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 100)
  connection.exec('DELETE FROM t WHERE a > 2; VACUUM')
  const size = rig.backing('a.db').length
  const file = rig.node.mount.open('a.db', CHOICES)
  expect(() => file.truncate(size - 1)).toThrow(/without a journal/)
  expect(() => file.truncate(0)).toThrow(/without a journal/)
  file.truncate(size + 4096)
  file.truncate(size)
  file.close()
  expect(rig.backing('a.db').length).toBe(size)
  rig.consistent()
})

test.each([
  ['is committed', (write: () => void) => write()],
  ['is rolled back', () => undefined],
])('what a transaction cuts off and has grow again, as a size hint does, is in the log when it %s', (_, change) => {
  using rig = new Rig()
  rig.open('delete', 300).close()
  const before = rig.backing('a.db')
  const page = before.subarray(0, 1024)
  const segment = marshalJournalSegment({ pageSize: 1024, initialSizePages: before.length / 1024, nonce: 1 }, [
    { pgno: 1, page },
  ])
  const journal = rig.node.mount.open('a.db-journal', { ...CHOICES, create: true })
  journal.write(segment, 0)
  journal.close()
  const file = rig.node.mount.open('a.db', CHOICES)
  change(() => file.write(page, 0))
  file.truncate(before.length - 2500)
  file.truncate(before.length)
  file.close()
  rig.node.mount.unlink('a.db-journal')
  expect(rig.backing('a.db').subarray(-2500)).toEqual(Buffer.alloc(2500))
  const replayed = replayLog(rig.dir, 'a.db')
  expect(formatPosition(replayed)).toBe(formatPosition(rig.node.position('a.db')))
  expect(Buffer.compare(replayed.bytes(), rig.backing('a.db'))).toBe(0)
})

test('a journal that cannot be removed stays hot, and its rollback is captured', () => {
  let fails = false
  const files = failingFiles(nodeFiles, (operation, path) =>
    fails && operation === 'unlink' && path.endsWith('-journal') ? 'EIO' : undefined,
  )
  using rig = new Rig({ files })
  const connection = rig.open('delete', 50)
  fails = true
  expect(() => connection.exec("UPDATE t SET b = 'rejected'")).toThrow()
  fails = false
  expect(connection.value("SELECT count(*) FROM t WHERE b = 'rejected'")).toBe(0)
  rig.consistent()
  connection.exec("UPDATE t SET b = 'next'")
  rig.consistent()
})
