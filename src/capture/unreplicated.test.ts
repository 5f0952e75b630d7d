import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { deflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import type { VfsFile } from '../../test/harness/in-process/vfs-files.ts'
import { FsError } from '../fuse/errno.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'
import { frameOffset } from '../sqlite/wal.ts'
import { FrameChain, marshalWalHeader } from '../sqlite/wal-write.ts'
import { DatabaseFilter } from './database-filter.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
const PAGE_SIZE = 4096
const JOURNAL = marshalJournalSegment({ pageSize: PAGE_SIZE, initialSizePages: 0, nonce: 1 }, [])
const WAL = { pageSize: PAGE_SIZE, checkpointSequence: 0, salt1: 1, salt2: 2, bigEndianChecksums: false }
const refusing = () => new Rig({ filter: new DatabaseFilter({ databases: ['*.db'], otherFiles: 'refuse' }) })

function write(rig: Rig, name: string, data: Uint8Array, position = 0): void {
  const file = rig.node.mount.open(name, NEW)
  try {
    file.write(data, position)
  } finally {
    file.close()
  }
}

/** A transaction in a rollback mode, as SQLCipher writes it. */
function transact(rig: Rig, file: VfsFile, name: string, pages: number): void {
  write(rig, `${name}-journal`, JOURNAL)
  for (let i = 0; i < pages; i++) file.write(randomBytes(PAGE_SIZE), i * PAGE_SIZE)
  rig.node.mount.unlink(`${name}-journal`)
}

/** A new encrypted database. */
function create(rig: Rig, name = 'secret.db', pages = 2): VfsFile {
  const file = rig.node.mount.open(name, NEW)
  transact(rig, file, name, pages)
  return file
}

/** A WAL that holds one transaction. */
function walOf(pgno: number, commit: number): Uint8Array {
  const { bytes, header } = marshalWalHeader(WAL)
  const wal = new Uint8Array(frameOffset(1, PAGE_SIZE))
  wal.set(bytes)
  const chain = new FrameChain(header, header.checksum1, header.checksum2)
  chain.append(new DataView(wal.buffer), bytes.length, pgno, commit, randomBytes(PAGE_SIZE))
  return wal
}

test('a new encrypted database in a rollback mode is served, counted, and named in one warning', () => {
  using rig = new Rig()
  const file = create(rig)
  for (let i = 0; i < 3; i++) transact(rig, file, 'secret.db', 2)
  file.close()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
  expect(rig.node.complaints()).toEqual([expect.stringContaining('probably encrypted')])
  expect(rig.node.plainFiles).toEqual([])
})

test('a copy of an encrypted database is counted until it is written in WAL mode, also after a restart', () => {
  using rig = new Rig()
  write(rig, 'secret.db', randomBytes(2 * PAGE_SIZE))
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
  expect(rig.node.complaints()).toEqual([expect.stringContaining('probably an encrypted database')])
  using again = new Rig({}, rig.dir)
  expect([...again.node.unreplicated]).toEqual(['secret.db'])
  create(again, 'secret.db', 1).close()
  write(again, 'secret.db-wal', walOf(1, 2))
  expect([...again.node.unreplicated]).toEqual([])
  expect(again.node.position('secret.db').txid).toBe(2n)
})

test('a copy over an encrypted database that is counted is counted as well', () => {
  using rig = new Rig()
  create(rig).close()
  const file = rig.node.mount.open('secret.db', NEW)
  file.truncate(0)
  file.write(randomBytes(3 * PAGE_SIZE), 0)
  expect([...rig.node.unreplicated]).toEqual([])
  file.close()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
})

test('a copy that gets its name by a rename is counted under that name, whatever its name was before', () => {
  using rig = new Rig({ filter: new DatabaseFilter({ databases: ['*.db'], otherFiles: 'serve' }) })
  write(rig, '.secret.db.part', randomBytes(2 * PAGE_SIZE))
  expect([...rig.node.unreplicated]).toEqual([])
  rig.node.mount.rename('.secret.db.part', 'secret.db')
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
  rig.node.mount.rename('secret.db', 'secret.bak')
  expect([...rig.node.unreplicated]).toEqual([])
})

test('one that is written without a journal (MEMORY, OFF) is counted at the first quiet moment, and then at once', () => {
  using rig = new Rig()
  const file = rig.node.mount.open('secret.db', NEW)
  file.write(randomBytes(3 * PAGE_SIZE), 0)
  for (let turn = 0; turn < 2; turn++) rig.node.passTime()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
  file.write(randomBytes(PAGE_SIZE), 0)
  file.close()
  expect(rig.node.complaints()).toHaveLength(1)
})

test.each([
  ['text', Buffer.alloc(16384, 'All files that are no databases are plain files. ')],
  ['zeros', Buffer.alloc(16384)],
  ['random bytes that end within a page', randomBytes(16384 + 100)],
  ['compressed data', deflateRawSync(randomBytes(3 << 20).toString('hex')).subarray(0, 16384 + 10)],
])('%s are a plain file, and not counted', (_, bytes) => {
  using rig = new Rig()
  write(rig, 'file', bytes)
  expect([[...rig.node.unreplicated], rig.node.complaints()]).toEqual([[], []])
})

test('one page is how an encrypted database begins, and how it gets into WAL mode: it is not counted', () => {
  using rig = new Rig()
  create(rig, 'new.db', 1).close()
  expect([[...rig.node.unreplicated], rig.node.complaints()]).toEqual([[], []])
})

test('its first page may come last, where its others were spilled before', () => {
  using rig = new Rig()
  const file = rig.node.mount.open('secret.db', NEW)
  write(rig, 'secret.db-journal', JOURNAL)
  file.write(randomBytes(PAGE_SIZE), PAGE_SIZE)
  expect([...rig.node.unreplicated]).toEqual([])
  file.write(randomBytes(PAGE_SIZE), 0)
  file.close()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
})

test('the kernel may cut its pages', () => {
  using rig = new Rig()
  rig.node.mount.cut = (length) => (length > 100 ? [10, length - 10] : [length])
  create(rig).close()
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
})

test('with other-files: refuse, the write that would not be replicated is rejected, with a line', () => {
  using rig = refusing()
  expect(() => create(rig)).toThrow(FsError)
  expect(rig.backing('secret.db')).toHaveLength(PAGE_SIZE)
  expect([...rig.node.unreplicated]).toEqual([])
  expect(rig.node.complaints()).toEqual([expect.stringContaining('journal_mode = WAL')])
  create(rig, 'other.db', 1).close()
  write(rig, 'other.db-wal', walOf(1, 1))
  expect(rig.node.position('other.db').txid).toBe(2n)
})

test.each(['whole', 'cut'])('its history begins with its WAL, and is no longer counted: %s', (how) => {
  using rig = new Rig()
  create(rig).close()
  if (how === 'cut') rig.node.mount.cut = (length) => (length > 100 ? [10, 30, length - 40] : [length])
  write(rig, 'secret.db-wal', walOf(2, 2))
  expect([...rig.node.unreplicated]).toEqual([])
  const { position, pages, pageSize, encryption } = rig.node.database('secret.db')
  expect([position.txid, pages.sizePages, pageSize, encryption]).toEqual([2n, 2, PAGE_SIZE, 'whole'])
  using again = new Rig({}, rig.dir)
  expect(again.node.position('secret.db')).toEqual(position)
})

test('a WAL that nobody captured is captured when it is opened', () => {
  using rig = new Rig()
  fs.writeFileSync(`${rig.dir}/files/secret.db`, randomBytes(2 * PAGE_SIZE))
  fs.writeFileSync(`${rig.dir}/files/secret.db-wal`, walOf(1, 2))
  rig.node.mount.open('secret.db-wal', NEW).close()
  expect(rig.node.position('secret.db').txid).toBe(2n)
})

test('a file that is no whole number of pages is no encrypted database: it is counted', () => {
  using rig = new Rig()
  write(rig, 'secret.db', randomBytes(PAGE_SIZE + 1))
  write(rig, 'secret.db-wal', walOf(1, 1))
  expect([...rig.node.unreplicated]).toEqual(['secret.db'])
  expect(rig.node.complaints()).toHaveLength(1)
})

test('a page that a checkpoint encrypts anew is what the file has, and so the log once the WAL ends', () => {
  using rig = new Rig()
  const file = create(rig)
  write(rig, 'secret.db-wal', walOf(2, 2))
  const anew = randomBytes(PAGE_SIZE)
  file.write(anew, PAGE_SIZE)
  expect(rig.node.position('secret.db').txid).toBe(2n)
  expect(() => file.write(randomBytes(PAGE_SIZE), 0)).toThrow(/no transaction/)
  rig.node.mount.unlink('secret.db-wal')
  file.close()
  expect(rig.node.position('secret.db').txid).toBe(3n)
  expect([...rig.node.guarded]).toEqual([])
  using again = new Rig({}, rig.dir)
  expect(again.node.position('secret.db')).toEqual(rig.node.position('secret.db'))
  expect(Buffer.from(again.backing('secret.db').subarray(PAGE_SIZE)).equals(anew)).toBe(true)
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
