import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import type { VfsFile } from '../../test/harness/in-process/vfs-files.ts'
import { FsError } from '../fuse/errno.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'
import { WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { marshalWalHeader } from '../sqlite/wal-write.ts'
import { DatabaseFilter } from './database-filter.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
const PAGE_SIZE = 4096
const JOURNAL = marshalJournalSegment({ pageSize: PAGE_SIZE, initialSizePages: 0, nonce: 1 }, [])
const WAL = { pageSize: PAGE_SIZE, checkpointSequence: 0, salt1: 1, salt2: 2, bigEndianChecksums: false }
const WAL_HEADER = marshalWalHeader(WAL).bytes
const refusing = () => new Rig({ filter: new DatabaseFilter({ databases: ['*.db'], otherFiles: 'refuse' }) })

function write(rig: Rig, name: string, data: Uint8Array, position = 0): void {
  const file = rig.node.mount.open(name, NEW)
  try {
    file.write(data, position)
  } finally {
    file.close()
  }
}

/** The first transaction of a new encrypted database, as SQLCipher writes it. */
function create(rig: Rig, name = 'secret.db'): VfsFile {
  const file = rig.node.mount.open(name, NEW)
  write(rig, `${name}-journal`, JOURNAL)
  file.write(randomBytes(PAGE_SIZE), 0)
  rig.node.mount.unlink(`${name}-journal`)
  return file
}

test('a new encrypted database is served, counted, and named in one warning', () => {
  using rig = new Rig()
  const file = create(rig)
  for (let i = 0; i < 3; i++) {
    write(rig, 'secret.db-journal', JOURNAL)
    file.write(randomBytes(PAGE_SIZE), 0)
    rig.node.mount.unlink('secret.db-journal')
  }
  file.close()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
  expect(rig.node.complaints()).toEqual([expect.stringContaining('probably encrypted')])
  expect(rig.node.plainFiles).toEqual([])
})

test.each([
  ['journal', 'secret.db-journal', JOURNAL],
  ['WAL', 'secret.db-wal', WAL_HEADER],
])('an encrypted database is found by its %s when it is written next', (_, side, header) => {
  using rig = new Rig()
  write(rig, 'secret.db', randomBytes(PAGE_SIZE))
  expect([...rig.node.unreplicated]).toEqual([])
  write(rig, side, header)
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
})

test('a WAL that a restart of the node left shows an encrypted database with its next frame', () => {
  using rig = new Rig()
  write(rig, 'secret.db', randomBytes(PAGE_SIZE))
  write(rig, 'secret.db-wal', WAL_HEADER)
  using again = new Rig({}, rig.dir)
  write(again, 'secret.db-wal', randomBytes(PAGE_SIZE + 24), WAL_HEADER_SIZE)
  expect([...again.node.unreplicated]).toEqual(['secret.db'])
})

test('pieces of a first page, as the kernel may cut it, show an encrypted database', () => {
  using rig = new Rig()
  rig.node.mount.cut = (length) => (length > 100 ? [10, length - 10] : [length])
  create(rig).close()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
})

test('with other-files: refuse, the write that shows an encrypted database is rejected, with a line', () => {
  using rig = refusing()
  expect(() => create(rig)).toThrow(FsError)
  expect(rig.backing('secret.db')).toHaveLength(0)
  write(rig, 'other.db', randomBytes(PAGE_SIZE))
  expect(() => write(rig, 'other.db-journal', JOURNAL)).toThrow(/probably encrypted/)
  expect(() => write(rig, 'other.db-wal', WAL_HEADER)).toThrow(/cipher_plaintext_header_size/)
  expect(rig.backing('other.db-wal')).toHaveLength(0)
  expect([...rig.node.unreplicated]).toEqual([])
  expect(rig.node.lines.filter(({ fields }) => fields.errno === 'EPERM').map(({ fields }) => fields.file)).toEqual([
    'secret.db',
    'other.db',
    'other.db',
  ])
})

test.each(['wal', 'delete', 'truncate', 'persist'])('no database of SQLite is taken for encrypted: %s', (mode) => {
  for (const cut of [(length: number) => [length], (length: number) => (length > 20 ? [8, length - 8] : [length])]) {
    using rig = refusing()
    rig.node.mount.cut = cut
    const connection = rig.open(mode)
    // Spilling writes later pages before the first one.
    connection.exec('PRAGMA cache_size = 2')
    connection.exec(insert(11, 400))
    connection.exec('BEGIN; DELETE FROM t; ROLLBACK')
    rig.node.mount.cut = (length) => [length]
    rig.consistent()
    const big = rig.engine.open('big.db')
    big.exec(`PRAGMA cache_size = 2; PRAGMA journal_mode = ${mode}; BEGIN; CREATE TABLE t (a INTEGER PRIMARY KEY, b)`)
    big.exec(`${insert(1, 400)}; COMMIT`)
    rig.consistent('big.db')
    expect(rig.node.complaints()).toEqual([])
  }
})

test('a removed, emptied or renamed database leaves the count under its name', () => {
  using rig = new Rig({ filter: new DatabaseFilter({ databases: ['*.db'], otherFiles: 'serve' }) })
  const { mount, unreplicated } = rig.node
  for (const name of ['a.db', 'b.db', 'c.db', 'd.db', 'e.db']) create(rig, name).close()
  mount.unlink('a.db')
  mount.rename('b.db', 'b2.db')
  mount.rename('c.db', 'c.txt')
  mount.rename('d.db', 'e.db')
  expect([...unreplicated].sort()).toEqual(['b2.db', 'e.db'])
  const file = mount.open('b2.db', NEW)
  file.truncate(0)
  file.close()
  expect([...unreplicated]).toEqual(['e.db'])
})

test('a database that is decrypted in place is captured, and leaves the count', () => {
  using rig = new Rig()
  rig.open('delete', 10, 'plain.db').close()
  const file = create(rig)
  write(rig, 'secret.db-journal', JOURNAL)
  file.write(rig.backing('plain.db'), 0)
  rig.node.mount.unlink('secret.db-journal')
  file.close()
  expect([...rig.node.unreplicated]).toEqual([])
  rig.consistent('secret.db')
})

test('a plain file is reported as such, and a damaged copy of a database has a warning of its own', () => {
  using rig = new Rig()
  rig.open('delete').close()
  write(rig, 'notes', Buffer.from('text'))
  expect([rig.node.plainFiles, rig.node.complaints()]).toEqual([['notes'], []])
  write(rig, 'damaged.db', rig.backing('a.db').subarray(0, 1024))
  expect(rig.node.plainFiles).toEqual(['notes'])
  expect(rig.node.complaints()).toEqual([expect.stringContaining('shorter than its header says')])
})
