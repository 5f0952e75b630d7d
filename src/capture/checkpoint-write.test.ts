import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'

const CHOICES = { create: false, exclusive: false, readOnly: false }
const REJECTED = /would become what no transaction committed/

/** A database in WAL mode that nobody has open: nothing is in its WAL. */
function closedDatabase(rig: Rig): Buffer {
  rig.open('wal', 200).close()
  return rig.backing('a.db')
}

/** The same database with other rows. */
function changed(): Buffer {
  using other = new Rig()
  const connection = other.open('wal', 200)
  connection.exec("UPDATE t SET b = 'other ' || a || substr(b, 9)")
  connection.close()
  return other.backing('a.db')
}

test.each(['MEMORY', 'OFF'])('WAL to journal_mode %s: the first write without a journal is rejected', (mode) => {
  using rig = new Rig()
  const connection = rig.open('wal', 50)
  const before = rig.txid()
  expect(() => {
    connection.exec(`PRAGMA journal_mode = ${mode}`)
    connection.exec("UPDATE t SET b = 'nowhere'")
  }).toThrow()
  expect(rig.txid()).toBe(before)
  expect(rig.node.lines).toContainEqual(
    expect.objectContaining({ level: 'error', message: expect.stringMatching(/journal_mode OFF or MEMORY/) as string }),
  )
  connection.kill()
  const next = rig.engine.open('a.db')
  expect(next.value("SELECT count(*) FROM t WHERE b = 'nowhere'")).toBe(0)
  next.exec(insert(51, 60))
  rig.consistent()
})

test.each([512, 1000, 1024, 65536])(
  'with nothing in the WAL a write that changes anything is rejected whole, in pieces of %i bytes',
  (size) => {
    using rig = new Rig()
    const before = closedDatabase(rig)
    const bytes = changed()
    expect(bytes.equals(before)).toBe(false)
    const file = rig.node.mount.open('a.db', CHOICES)
    let rejected = 0
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size)
      if (piece.equals(before.subarray(at, at + size))) file.write(piece, at)
      else {
        expect(() => file.write(piece, at)).toThrow(REJECTED)
        rejected++
      }
    }
    file.close()
    expect(rejected).toBeGreaterThan(0)
    expect(rig.backing('a.db').equals(before)).toBe(true)
    rig.consistent()
  },
)

test('with pages in the WAL only their committed versions may be written, and no size that was never committed', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 200)
  connection.exec('PRAGMA wal_checkpoint')
  connection.exec("UPDATE t SET b = 'in the WAL ' || a")
  const before = rig.backing('a.db')
  const bytes = changed()
  const file = rig.node.mount.open('a.db', CHOICES)
  for (const size of [0, 1024, before.length - 1024]) expect(() => file.truncate(size)).toThrow(/without a journal/)
  for (let at = 0; at < bytes.length; at += 1024) {
    const piece = bytes.subarray(at, at + 1024)
    if (!piece.equals(before.subarray(at, at + 1024))) expect(() => file.write(piece, at)).toThrow(REJECTED)
  }
  expect(() => file.write(bytes, 0)).toThrow(REJECTED)
  file.close()
  expect(rig.backing('a.db').equals(before)).toBe(true)
  connection.close()
  rig.consistent()
  expect(rig.node.guarded).toEqual([])
})

test('a checkpoint that a reader holds back writes an older version of each page, also of those cut since', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 100)
  connection.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec("UPDATE t SET b = 'older ' || a || substr(b, 8)")
  const older = framesOf(rig.backing('a.db-wal'))
  connection.exec("UPDATE t SET b = 'newer ' || a || substr(b, 8)")
  connection.exec('DELETE FROM t WHERE a > 10; VACUUM')
  const { pages } = rig.node.database('a.db')
  const { pagesInWal } = pages
  expect(Math.max(...older.keys())).toBeGreaterThan(pages.sizePages)
  const file = rig.node.mount.open('a.db', CHOICES)
  for (const [pgno, page] of older) file.write(page, (pgno - 1) * 1024)
  const strange = Buffer.from(older.get(3) as Buffer)
  strange[1000] = (strange[1000] ?? 0) ^ 1
  expect(() => file.write(strange, 2048)).toThrow(REJECTED)
  expect(() => file.write(older.get(3) as Buffer, 3072)).toThrow(REJECTED)
  file.close()
  expect(pages.pagesInWal).toBe(pagesInWal)
  connection.exec('PRAGMA wal_checkpoint')
  expect(pages.pagesInWal).toBe(0)
  connection.close()
  rig.consistent()
  expect(rig.node.complaints()).toHaveLength(2)
})

test('an older version that a checkpoint writes over the newest leaves the newest to be read from the WAL', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 100)
  connection.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec("UPDATE t SET b = 'B' || substr(b, 2) WHERE a = 1")
  const older = framesOf(rig.backing('a.db-wal'))
  const [pgno] = Array.from(older.keys()).filter((key) => key > 1)
  connection.exec("UPDATE t SET b = 'C' || substr(b, 2) WHERE a = 1")
  const newest = framesOf(rig.backing('a.db-wal')).get(pgno as number) as Buffer
  const { pages } = rig.node.database('a.db')
  const file = rig.node.mount.open('a.db', CHOICES)
  const at = ((pgno as number) - 1) * 1024
  const { pagesInWal } = pages
  file.write(newest, at)
  expect(pages.pagesInWal).toBe(pagesInWal - 1)
  file.write(older.get(pgno as number) as Buffer, at)
  file.close()
  expect(pages.pagesInWal).toBe(pagesInWal)
  connection.exec("UPDATE t SET b = 'D' || substr(b, 2) WHERE a = 100")
  connection.close()
  rig.consistent()
})

/** The pages in a WAL, each from its newest frame. */
function framesOf(wal: Buffer): Map<number, Buffer> {
  const pages = new Map<number, Buffer>()
  for (let at = 32; at + 24 + 1024 <= wal.length; at += 24 + 1024) {
    pages.set(wal.readUInt32BE(at), wal.subarray(at + 24, at + 24 + 1024))
  }
  return pages
}

test.each([1, 300, 512, 1500])('a checkpoint whose writes the kernel cuts after %i bytes completes', (first) => {
  using rig = new Rig()
  const connection = rig.open('wal', 200)
  connection.exec("PRAGMA wal_autocheckpoint = 0; UPDATE t SET b = 'twice ' || a; UPDATE t SET b = 'thrice ' || a")
  rig.node.mount.cut = (length) => (length > first ? [first, length - first] : [length])
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  expect(rig.node.database('a.db').pages.pagesInWal).toBe(0)
  connection.close()
  rig.consistent()
  expect(rig.node.complaints()).toEqual([])
})

// SQLite's backup API does so where the source has smaller pages.
test('the file is cut within a page whose newest version is in the WAL', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 1)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec("BEGIN; PRAGMA user_version = 7; UPDATE t SET b = 'new'; COMMIT")
  const { commit } = rig.consistent()
  const file = rig.node.mount.open('a.db', CHOICES)
  expect(() => file.truncate(0)).toThrow()
  file.truncate(1024 + 512)
  file.close()
  expect(rig.consistent().commit).toBe(commit)
  connection.close()
  expect(rig.backing('a.db').length).toBe(commit * 1024)
  using again = new Rig({}, rig.dir)
  expect(again.engine.open('a.db').value('SELECT b FROM t')).toBe('new')
  again.consistent()
})
